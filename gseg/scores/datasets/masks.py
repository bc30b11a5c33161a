"""How the published data sets store masks: what counts as foreground in each kind of file.

Each reader takes the mask files of one picture and gives a `TrueMask`. A file that is no mask of
its kind is an error that names it; nothing is thresholded silently.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gseg.images import UnreadableImageError

_HALF: Final = 128
"""Bytes from here are foreground: above 0.5 of full scale, as both papers' programs have it."""
_GREY_SHARE: Final = 0.1
"""More pixels than this between black and white: no mask with soft edges, but something else."""
_COLOUR: Final = 32
_COLOURED_SHARE: Final = 0.01
"""A picture is coloured if the channels of so many pixels differ by more than 32: JPEG's own noise
is less."""
_FLOWER_BLUE: Final = 254
"""Blue of the background in Flowers' segmentations, (0, 0, 254) before JPEG."""
_VOID: Final = 255
"""Label of PASCAL VOC's borders and difficult objects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueMask:
    """A mask as read.

    Attributes:
        mask: (H, W) bool, True is foreground.
        scored: (H, W) bool, or None if every pixel is scored.
        grey: Number of pixels that were neither black nor white in the file.
    """

    mask: NDArray[np.bool_]
    scored: NDArray[np.bool_] | None = None
    grey: int = 0


MaskReader = Callable[[tuple[Path, ...], bool], TrueMask]
"""Mask files of a picture, and whether to threshold grey ones of any kind -> the mask."""


def read_pixels(path: Path, mode: str | None = None) -> NDArray[np.uint8]:
    """Decode a file as it is stored; like both papers' programs, without regard to EXIF.

    Args:
        path: The file.
        mode: Pillow's mode to convert to; "grey" takes "L" or "RGB", whichever keeps more; None
            keeps the file's own.

    Returns:
        (H, W) or (H, W, C) uint8.

    Raises:
        UnreadableImageError: The file is missing, truncated or no picture.
    """
    try:
        with Image.open(path) as file:
            if mode == "grey":
                mode = "L" if file.mode in ("1", "L") else "RGB"
            return np.array(file if mode is None else file.convert(mode))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(f"Cannot read {path}: {error}") from error


def binary_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read a mask of black and white; soft edges are cut at half, as both papers' programs do.

    The masks of DUTS are not entirely binary as distributed. So grey edges of a lossless file are
    counted and cut; but a file whose grey exceeds a tenth of the picture is refused, and so is
    JPEG, which is not how any of these data sets distributes its masks.

    Args:
        files: One file.
        threshold: Cut any grey file at half instead.

    Returns:
        The mask, with its number of grey pixels.

    Raises:
        UnreadableImageError: The file cannot be read, or is no binary mask.
    """
    levels = _grey_levels(files[0])
    if levels.max(initial=0) <= 1:  # masks stored as 0 and 1 instead of 0 and 255
        return TrueMask(mask=levels > 0)
    grey = int(np.count_nonzero((levels > 0) & (levels < 255)))
    if grey and not threshold:
        _refuse_grey(files[0], levels, grey)
    return TrueMask(mask=levels >= _HALF, grey=grey)


def votes_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read a segmentation of CUB: votes of several annotators as grey levels, cut at half.

    ReDO (Chen et al. 2019), which both papers follow, and both papers' programs cut so.

    Args:
        files: One file.
        threshold: Cut JPEG files, too.

    Returns:
        The mask.

    Raises:
        UnreadableImageError: The file cannot be read, or is JPEG.
    """
    levels = _grey_levels(files[0])
    grey = int(np.count_nonzero((levels > 0) & (levels < 255)))
    if grey and not threshold and is_lossy(files[0]):
        _refuse_grey(files[0], levels, grey)
    return TrueMask(mask=levels >= _HALF, grey=grey)


def flower_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read a segmentation of Flowers: the flower on a blue ground, in JPEG.

    A pixel is foreground if its red and its green are not 0 and its blue is not 254: the rule of
    ReDO's program, which made the numbers that both papers compare with.

    Args:
        files: One file.
        threshold: Without meaning here.

    Returns:
        The mask; it is empty for many pictures.

    Raises:
        UnreadableImageError: The file cannot be read.
    """
    red, green, blue = np.moveaxis(read_pixels(files[0], "RGB"), -1, 0)
    return TrueMask(mask=(red != 0) & (green != 0) & (blue != _FLOWER_BLUE))


def label_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read a class segmentation of PASCAL VOC: any class is foreground, void is not scored.

    Args:
        files: One PNG whose bytes are labels: palette or grey.
        threshold: Without meaning here.

    Returns:
        The mask, and where it is scored.

    Raises:
        UnreadableImageError: The file cannot be read, or its bytes are no labels.
    """
    labels = read_pixels(files[0])
    if labels.ndim != 2 or ((labels > 20) & (labels != _VOID)).any():
        raise UnreadableImageError(
            f"{files[0]} does not hold the labels 0 to 20 and {_VOID}; expected a palette PNG as "
            "PASCAL VOC distributes it, not its colours."
        )
    return TrueMask(mask=(labels > 0) & (labels != _VOID), scored=labels != _VOID)


def union_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read the parts of a face of CelebAMask-HQ: foreground is what any part covers.

    Args:
        files: One binary mask for each part.
        threshold: Cut grey files at half.

    Returns:
        The union.

    Raises:
        UnreadableImageError: A file cannot be read, is no binary mask, or differs in size.
    """
    parts = [binary_mask((file,), threshold) for file in files]
    for file, part in zip(files, parts, strict=True):
        if part.mask.shape != parts[0].mask.shape:
            raise UnreadableImageError(
                f"{file} has {_times(part.mask.shape)} pixels, {files[0].name} "
                f"{_times(parts[0].mask.shape)}; the parts of one face must have the same size."
            )
    union = np.logical_or.reduce([part.mask for part in parts])
    return TrueMask(mask=union, grey=sum(part.grey for part in parts))


def is_lossy(path: Path) -> bool:
    """Say whether a file's format blurs a mask's edges."""
    return path.suffix.lower() in (".jpg", ".jpeg")


def _grey_levels(path: Path) -> NDArray[np.uint8]:
    """Read grey levels: of colours the red ones, as both programs do; 1-bit files as 0 and 255."""
    pixels = read_pixels(path, "grey")
    if pixels.ndim == 2:
        return pixels
    spread = pixels.max(2) - pixels.min(2)
    if (spread > _COLOUR).mean() > _COLOURED_SHARE:
        raise UnreadableImageError(
            f"{path} is a coloured picture; expected a mask of black and white."
        )
    return np.ascontiguousarray(pixels[..., 0])


def _refuse_grey(path: Path, levels: NDArray[np.uint8], grey: int) -> None:
    share = grey / levels.size
    if share <= _GREY_SHARE and not is_lossy(path):
        return
    why = "JPEG blurs a mask's edges" if is_lossy(path) else "it is no mask with soft edges"
    raise UnreadableImageError(
        f"{path} is not binary: {share:.1%} of its pixels are grey ({why}); expected black and "
        "white. Take the data set's own files, or state a threshold at half by adding +threshold "
        "to the benchmark's name."
    )


def _times(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
