"""Masks for a user's own pictures: any number of files, of any size, to PNG.

Voynov et al. 2021, section 3.5: a picture is brought to the side that the network was trained on;
the probability is brought back to the picture's own size and then thresholded.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import realpath
from pathlib import Path
from typing import Final, Literal

import torch.nn.functional as F
from torch import Tensor

from gseg.images import above_otsu, from_uint8, tinted
from gseg.picture_files import UnreadableImageError, encode_png, read_image
from gseg.segmenters.segmenter import Predictor
from gseg.storage.files import write_atomically

Threshold = float | Literal["otsu"]
"""A probability in [0, 1) above which a pixel is foreground, or Otsu's of each picture."""
# Both papers' shorter side, for a segmenter that does not say what it was trained on.
_PUBLISHED_SIDE: Final = 128
# A picture is at most this many times as long as wide for the network; beyond, it is squeezed.
_LONGEST: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentedFiles:
    """What became of a user's files.

    Attributes:
        masks: The mask's path for each picture that was segmented, in the order given.
        skipped: The reason for each file that could not be read.
    """

    masks: dict[Path, Path]
    skipped: dict[Path, str]


def segment_files(
    segmenter: Predictor,
    paths: Sequence[str | Path],
    out_dir: str | Path,
    *,
    working_size: int | None = None,
    threshold: Threshold = 0.5,
    overlay: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SegmentedFiles:
    """Write a mask of the same size for each picture.

    ``cat.jpg`` becomes ``cat.png``. Where two inputs would share that name, all of them keep
    their suffix (``cat.jpg.png``), and equal names from several folders are numbered. Masks of an
    earlier call are replaced. With `overlay`, the picture with the foreground tinted goes to
    ``overlays/`` under the same name.

    Args:
        segmenter: What predicts.
        paths: Picture files; a file given twice counts once.
        out_dir: Created if need be.
        working_size: See `segment_picture`.
        threshold: In [0, 1): a pixel with a higher probability is foreground; or ``otsu``, that of
            each picture.
        overlay: Whether to write overlays too.
        progress: Called after each file with the files done and the files in all.

    Returns:
        Where the masks are, and which files were skipped and why.

    Raises:
        ValueError: There are no files, an option is out of range, or a mask would replace one of
            the pictures.
    """
    return segment_to(
        segmenter,
        name_masks(paths, out_dir),
        working_size=working_size,
        threshold=threshold,
        overlay=overlay,
        progress=progress,
    )


def name_masks(paths: Sequence[str | Path], out_dir: str | Path) -> dict[Path, Path]:
    """Give the path of each picture's mask, as `segment_files` says.

    Raises:
        ValueError: There are no files, or a mask would replace one of the pictures.
    """
    pictures = list(dict.fromkeys(Path(path) for path in paths))
    if not pictures:
        raise ValueError("There are no pictures to segment; give at least one file.")
    # Names do not collide where file systems ignore case, either.
    stems = Counter(path.stem.casefold() for path in pictures)
    wished = [f"{p.stem if stems[p.stem.casefold()] == 1 else p.name}.png" for p in pictures]
    masks = [Path(out_dir) / name for name in _numbered(wished)]
    # Not `Path.resolve`, which cannot bear a link to itself; such a file is told when it is read.
    inputs = set(map(realpath, pictures))
    for target in (each for mask in masks for each in (mask, _overlay(mask))):
        if realpath(target) in inputs:
            raise ValueError(
                f"The output {target} would replace one of the pictures; choose another output "
                "folder."
            )
    return dict(zip(pictures, masks, strict=True))


def segment_to(
    segmenter: Predictor,
    files: Mapping[Path, Path],
    *,
    working_size: int | None = None,
    threshold: Threshold = 0.5,
    overlay: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SegmentedFiles:
    """Write a mask of the same size for each picture, where it is said; see `segment_files`.

    Args:
        segmenter: What predicts.
        files: From `name_masks`, or some of them.
        working_size: See `segment_files`, also for the rest.
        threshold: See `Threshold`.
        overlay: Whether to write overlays too.
        progress: Called after each file.

    Raises:
        ValueError: An option is out of range.
    """
    check_threshold(threshold)
    smallest = segmenter.smallest_side
    if working_size is not None and working_size < smallest:
        raise ValueError(
            f"This segmenter needs a working size of at least {smallest} pixels, got "
            f"{working_size}."
        )
    masks: dict[Path, Path] = {}
    skipped: dict[Path, str] = {}
    for done, (path, file) in enumerate(files.items(), start=1):
        try:
            pixels = read_image(path)
        except UnreadableImageError as error:
            skipped[path] = str(error)
        else:
            found = segment_picture(segmenter, pixels, working_size=working_size)
            mask = above_otsu(found[None])[0] if threshold == "otsu" else found > threshold
            masks[path] = file
            write_atomically(file, encode_png(mask), durable=False)
            if overlay:
                shown = encode_png(tinted(pixels, mask), effort=1)
                write_atomically(_overlay(file), shown, durable=False)
        if progress is not None:
            progress(done, len(files))
    return SegmentedFiles(masks=masks, skipped=skipped)


def segment_picture(
    segmenter: Predictor, pixels: Tensor, *, working_size: int | None = None
) -> Tensor:
    """Predict a picture of any size.

    Args:
        segmenter: What predicts.
        pixels: (3, H, W) uint8.
        working_size: Shorter side for the network; by default the side of the pictures that it
            was trained on, or the papers' 128.

    Returns:
        (H, W) float32 in [0, 1] on the CPU: probability of the foreground.
    """
    height, width = pixels.shape[1:]
    side = working_size or segmenter.resolution or _PUBLISHED_SIDE
    scale = side / min(height, width)
    sides = [min(round(length * scale), _LONGEST * side) for length in (height, width)]
    small = F.interpolate(pixels[None], size=sides, mode="bilinear", antialias=True)
    probability = segmenter.probability(from_uint8(small)).cpu()
    return F.interpolate(probability[None], size=(height, width), mode="bilinear")[0, 0]


def check_threshold(threshold: Threshold) -> None:
    """Refuse a threshold that is neither a probability in [0, 1) nor "otsu" with a ValueError."""
    if threshold != "otsu" and not (isinstance(threshold, int | float) and 0 <= threshold < 1):
        raise ValueError(f"The threshold is a probability in [0, 1) or 'otsu', got {threshold!r}.")


def _overlay(mask: Path) -> Path:
    return mask.parent / "overlays" / mask.name


def _numbered(names: Sequence[str]) -> Iterator[str]:
    """Number names that several pictures wish for, past those that others wish for."""
    reserved = {name.casefold() for name in names}
    taken: set[str] = set()
    for name in names:
        free, number = name, 1
        while free.casefold() in taken or (number > 1 and free.casefold() in reserved):
            number += 1
            free = f"{name.removesuffix('.png')}-{number}.png"
        taken.add(free.casefold())
        yield free
