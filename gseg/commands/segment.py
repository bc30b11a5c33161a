"""``gseg segment``: masks for a user's own pictures."""

from collections.abc import Iterator
from os.path import realpath
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from gseg.commands.app import Count, OutFolder, OutPicture, Side, console
from gseg.commands.bars import progress_bar
from gseg.commands.given import check_apart, needs, only_with
from gseg.commands.working import HERE, Working
from gseg.interruptions import will_begin_again

_FILE: Final = "segmenter.safetensors"
# What the segmenter that comes with the package is called.
_SHIPPED: Final = "scenes"


@needs(
    only_with("--strip", "--columns", "--truth", value="FILE"),
    only_with("--truth", "--mask-coding", value="FOLDER"),
)
def segment(
    images: tuple[Path, ...],
    /,
    *,
    # One value each time it is given: pictures may follow it.
    model: Annotated[tuple[Path, ...], Parameter(consume_multiple=False)] = (),
    out: OutFolder,
    overlay: bool = False,
    strip: OutPicture | None = None,
    truth: Path | None = None,
    mask_coding: tuple[str, ...] = (),
    columns: Count = 8,
    threshold: float | Literal["otsu"] = 0.5,
    size: Side | None = None,
    working: Working = HERE,
) -> int:
    """Write a PNG mask of the same size for each picture: white is foreground.

    Exit status 1 if some of the files could not be read; the others have their masks.

    Args:
        images: Picture files, and folders, which are searched with everything below them.
        model: A segmenter: its .safetensors file, a folder segmenter/HASH in a sweep's storage, or
            a .ckpt or .pth of the papers' programs; given several times, their mean. Without it
            scenes, a small one for trying, which was trained on generated pictures of 32 pixels.
        out: Folder of the masks, made if missing; masks of the same names are replaced.
        overlay: Also write the pictures with the foreground tinted, to overlays in that folder.
        strip: Also draw some of the pictures with their masks side by side, as a PNG file.
        truth: Folder of true masks, with the pictures' paths below their folders: the strip goes
            from the best to the worst by IoU.
        mask_coding: What the values of true masks mean, where the files do not say it, such as
            foreground=1 void=255 (docs/benchmarks.md).
        columns: Pictures in the strip.
        threshold: Probability in [0, 1) above which a pixel is foreground; or otsu, the threshold
            that splits each picture's probabilities best.
        size: Shorter side in pixels at which the network sees a picture; without it that of its
            training, if the file says so, or 128.
        working: Where the work is done.

    Raises:
        ValueError: The model or the pictures are not there, or an option is out of range.
    """
    from gseg.mask_coding import mask_coding as parsed_coding
    from gseg.pipeline.jobs.job import run_missing
    from gseg.pipeline.jobs.predict import SegmentJob
    from gseg.reports.sheets import FoundMask, compare_masks, draw_strip, find_truths, spread_text
    from gseg.segmenters.segment import name_masks

    will_begin_again()
    notes: list[str] = []
    pictures = {file: name for path in images for file, name in _pictures(path, out, notes)}
    named = name_masks(list(pictures), out)
    taken = {realpath(each) for pair in named.items() for each in pair}
    if strip is not None and realpath(strip) in taken:
        raise ValueError(f"--strip {strip} would replace one of the pictures or masks.")
    check_apart({"--out": out}, {"--truth": truth})
    coding = parsed_coding(mask_coding)
    truths = {} if truth is None else find_truths(truth)
    job = SegmentJob(
        files=tuple((file, mask.absolute()) for file, mask in named.items()),
        models=tuple(map(_model, model)) or (None,),
        working_size=size,
        threshold=threshold,
        overlay=overlay,
        device=working.device,
    )
    with working.backend() as backend, progress_bar("segmenting") as progress:
        done = job.collect(run_missing(job, len(job.files), backend, progress))
    say = console().print
    for note in notes:
        say(note)
    for reason in done.skipped.values():
        say(f"skipped: {reason}")
    total = len(done.masks) + len(done.skipped)
    failed = f"; {len(done.skipped)} could not be read" if done.skipped else ""
    say(f"{len(done.masks):,} masks for {total:,} pictures in {out}{failed}")
    if strip is not None and done.masks:
        found = [FoundMask(picture=picture, mask=mask) for picture, mask in done.masks.items()]
        if truths:
            found = compare_masks(done.masks, truths, names=pictures, coding=coding)
            without = len(done.masks) - len(found)
            left = f"; left out without a true mask: {without:,}" if without else ""
            say(spread_text(found) + left)
        draw_strip(strip, found, columns=columns, coding=coding)
        say(f"strip: {strip}")
    return int(bool(done.skipped))


def _pictures(path: Path, out: Path, notes: list[str]) -> Iterator[tuple[Path, str]]:
    """Give a file as it is, and of a folder all pictures below it except earlier masks.

    With each comes its path below the folder, without suffix; notes say what is left out.
    """
    from gseg.picture_files import list_pictures

    if not path.exists():
        raise ValueError(f"there is no file or folder {path}.")
    if not path.is_dir():
        yield path, path.stem
        return
    if realpath(path) == realpath(out):
        raise ValueError(
            f"--out {out} is the folder of the pictures: masks would lie among them, and be taken "
            f"for pictures the next time. Choose another, such as {out / 'masks'}."
        )
    listed = list_pictures(path, without=out).required()
    if listed.others:
        notes.append(listed.left_out)
    for file in listed.files:
        yield file, file.relative_to(path).with_suffix("").as_posix()


def _model(path: Path) -> Path | None:
    """Find a segmenter's file, in a folder of the storage too; None for the one that ships."""
    # A folder that happens to be called scenes is no segmenter.
    if str(path) == _SHIPPED and not path.exists():
        return None
    if not path.is_dir():
        return path
    if (path / _FILE).is_file():
        return path / _FILE
    others = sorted(
        file.parent for depth in ("*", "segmenter/*") for file in path.glob(f"{depth}/{_FILE}")
    )
    hint = (
        f"choose one of its {len(others)} segmenters, such as {others[0]}"
        if others
        else "give a segmenter's file, or a folder segmenter/<hash> of a sweep's storage"
    )
    raise ValueError(f"{path} holds no {_FILE}; {hint}.")
