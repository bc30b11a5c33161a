"""``gseg segment``: masks for a user's own pictures."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from gseg.commands.bars import progress_bar
from gseg.commands.working import working
from gseg.picture_files import SUFFIXES
from gseg.pipeline.jobs.job import run_missing
from gseg.pipeline.jobs.predict import SegmentJob
from gseg.reports.sheets import FoundMask, compare_masks, draw_strip, find_truths, spread_text
from gseg.segmenters.segment import name_masks

_FILE: Final = "segmenter.safetensors"
_SHIPPED: Final = "scenes"
"""What the segmenter that comes with the package is called."""


def segment(options: argparse.Namespace, console: Console) -> int:
    """Segment pictures.

    Args:
        options: See `gseg.commands.segment_options`.
        console: Hears what was skipped, how many masks there are, and where the strip is.

    Returns:
        Exit status: 0, or 1 if a file could not be read.

    Raises:
        ValueError: The model or the pictures are not there, or an option is out of range.
    """
    pictures = [file for path in options.images for file in _pictures(path, options.out)]
    truths = _truths(options, pictures)
    masks = name_masks(pictures, options.out)
    job = SegmentJob(
        files=tuple((picture, mask.absolute()) for picture, mask in masks.items()),
        models=tuple(map(_model, options.model or [])) or (None,),
        working_size=options.size,
        threshold=options.threshold,
        overlay=options.overlay,
        device=options.device,
    )
    with working(options) as backend, progress_bar("segmenting") as progress:
        done = job.collect(run_missing(job, len(job.files), backend, progress))
    for reason in done.skipped.values():
        console.print(f"skipped: {reason}", markup=False)
    total = len(done.masks) + len(done.skipped)
    failed = f"; {len(done.skipped)} could not be read" if done.skipped else ""
    console.print(
        f"{len(done.masks):,} masks for {total:,} pictures in {options.out}{failed}", markup=False
    )
    if options.strip is not None and done.masks:
        _draw_strip(options, done.masks, truths, console)
    return 1 if done.skipped else 0


def _truths(options: argparse.Namespace, pictures: Sequence[Path]) -> Mapping[str, Path]:
    """Look for true masks, and see that what is asked for beside masks makes sense."""
    if options.truth is not None and options.strip is None:
        raise ValueError("--truth orders the pictures of a strip: add --strip FILE.")
    if options.columns < 1:
        raise ValueError(f"--columns is at least 1, got {options.columns}.")
    if options.strip is not None and options.strip.resolve() in {
        each.resolve() for each in pictures
    }:
        raise ValueError(f"--strip {options.strip} would replace one of the pictures.")
    return {} if options.truth is None else find_truths(options.truth)


def _draw_strip(
    options: argparse.Namespace,
    masks: Mapping[Path, Path],
    truths: Mapping[str, Path],
    console: Console,
) -> None:
    found = [FoundMask(picture=picture, mask=mask) for picture, mask in masks.items()]
    if truths:
        found = compare_masks(masks, truths)
        console.print(spread_text(found), markup=False)
    draw_strip(options.strip, found, columns=options.columns)
    console.print(f"strip: {options.strip}", markup=False)


def _pictures(path: Path, out: Path) -> Iterator[Path]:
    """Give a file as it is, and of a folder all pictures below it except earlier masks."""
    if not path.exists():
        raise ValueError(f"there is no file or folder {path}.")
    if not path.is_dir():
        yield path
        return
    masks = out.resolve()
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in SUFFIXES
        and not file.name.startswith(".")
        and masks not in file.resolve().parents
    ]
    if not found:
        raise ValueError(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))}).")
    yield from found


def _model(path: Path) -> Path | None:
    """Find a segmenter's file; None for the one that ships."""
    return None if str(path) == _SHIPPED and not path.exists() else _file(path)


def _file(path: Path) -> Path:
    """Find the segmenter's file if a folder of the storage is given."""
    if not path.is_dir() or (path / _FILE).is_file():
        return path / _FILE if path.is_dir() else path
    others = sorted(
        file.parent for depth in ("*", "segmenter/*") for file in path.glob(f"{depth}/{_FILE}")
    )
    hint = (
        f"choose one of its {len(others)} segmenters, such as {others[0]}"
        if others
        else ("give a segmenter's file, or a folder segmenter/<hash> of a sweep's storage")
    )
    raise ValueError(f"{path} holds no {_FILE}; {hint}.")
