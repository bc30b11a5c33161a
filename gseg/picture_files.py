"""Files of pictures and masks: which they are, their sizes, what their bytes mean.

All that opens a picture or mask of a user or of a data set goes through here. A file that is not
what it should be is an error that names it; nothing is thresholded silently.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

if TYPE_CHECKING:  # lists of benchmarks are read by commands that must not wait for torch
    from torch import Tensor

SUFFIXES: Final = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Files with other suffixes are not taken for pictures."""

_ORIENTATION_TAG: Final = 0x0112
# Orientations that swap width and height.
_TURNED: Final = (5, 6, 7, 8)
# Bytes from here are foreground: above 0.5 of full scale, as both papers' programs have it.
_HALF: Final = 128
# More pixels than this between black and white: no mask with soft edges, but something else.
_GREY_SHARE: Final = 0.1
_COLOUR: Final = 32
# A picture is coloured if the channels of so many pixels differ by more than 32: JPEG's own noise
# is less.
_COLOURED_SHARE: Final = 0.01
# Blue of the background in Flowers' segmentations, (0, 0, 254) before JPEG.
_FLOWER_BLUE: Final = 254
# Label of PASCAL VOC's borders and difficult objects.
_VOID: Final = 255


class UnreadableImageError(ValueError):
    """A picture or mask file cannot be decoded; the message names the file."""


def picture_files(folder: Path, *, deep: bool = False) -> list[Path]:
    """List the picture files of a folder by name, with those of all folders below if `deep`."""
    files = sorted(folder.rglob("*") if deep else folder.iterdir())
    return [f for f in files if f.suffix.lower() in SUFFIXES and not f.name.startswith(".")]


def picture_size(path: Path, *, upright: bool) -> tuple[int, int]:
    """Read height and width from a header, turned as EXIF says if `upright`.

    Raises:
        UnreadableImageError: The header cannot be read.
    """
    with _decoding("{path} cannot be read", path):
        facts = path.stat()
        return _known_size(path, upright, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=2**17)
def _known_size(path: Path, upright: bool, _size: int, _changed: int) -> tuple[int, int]:
    """Read a header once, unless the file's size or time changes."""
    with Image.open(path) as file:
        width, height = file.size
        # Asking a PNG without early EXIF for it would decode the whole picture.
        known = upright and (file.format != "PNG" or "exif" in file.info)
        turned = known and file.getexif().get(_ORIENTATION_TAG) in _TURNED
    return (width, height) if turned else (height, width)


@contextmanager
def _decoding(complaint: str, path: str | Path) -> Iterator[None]:
    """Turn what Pillow raises, of which there is much, into one error."""
    try:
        yield
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(f"{complaint.format(path=path)}: {error}") from error


def read_image(path: str | Path) -> "Tensor":
    """Read a picture file of any format that Pillow reads, upright (EXIF), alpha over white.

    Returns:
        (3, H, W) uint8.

    Raises:
        UnreadableImageError: The file is missing, truncated or no picture.
    """
    import torch

    with _decoding("Cannot read picture {path}", path), Image.open(path) as file:
        picture = ImageOps.exif_transpose(file)
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            rgba = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
        pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def read_mask(path: str | Path) -> "Tensor":
    """Read a mask of a user's; a pixel of at least half the file's full scale is foreground.

    Args:
        path: A grey, black-and-white or RGB picture (8 or 16 bit); alpha is ignored.

    Returns:
        (H, W) bool.

    Raises:
        UnreadableImageError: The file is missing, truncated or no picture.
    """
    import torch

    with _decoding("Cannot read mask {path}", path), Image.open(path) as file:
        picture = ImageOps.exif_transpose(file)
        deep = picture.mode.startswith("I")
        pixels = np.array(picture if deep else picture.convert("L"))
    half = 2**15 if deep else _HALF
    if pixels.max() <= 1:  # masks stored as 0 and 1 instead of 0 and 255
        half = 1
    return torch.from_numpy(pixels >= half)


def encode_png(pixels: "Tensor", *, effort: int = 6) -> bytes:
    """Encode one picture or mask losslessly, as a PNG.

    Args:
        pixels: (3, H, W) uint8 or (H, W) bool.
        effort: From 1 to 9; a photograph takes a quarter of the time and 5 % more bytes with 1.
    """
    buffer = BytesIO()
    to_pillow(pixels).save(buffer, format="PNG", compress_level=effort)
    return buffer.getvalue()


def to_pillow(pixels: "Tensor") -> Image.Image:
    """Make an image of (3, H, W) uint8, or one of 1 bit of (H, W) bool."""
    array = pixels.cpu().numpy()
    if array.dtype == np.bool_:
        return Image.fromarray(array.astype(np.uint8) * 255).convert("1")
    return Image.fromarray(np.ascontiguousarray(np.moveaxis(array, 0, -1)))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueMask:
    """A mask of a published data set, as read.

    Attributes:
        mask: (H, W) bool, True is foreground.
        scored: (H, W) bool, or None if every pixel is scored.
        grey: Number of pixels that were neither black nor white in the file.
    """

    mask: NDArray[np.bool_]
    scored: NDArray[np.bool_] | None = None
    grey: int = 0


MaskReader = Callable[[tuple[Path, ...], bool], TrueMask]
"""Mask files of a picture, and whether to threshold grey ones of any kind -> the mask. All readers
raise `UnreadableImageError` for a file that cannot be read or is no mask of their kind."""


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
    with _decoding("Cannot read {path}", path), Image.open(path) as file:
        if mode == "grey":
            mode = "L" if file.mode in ("1", "L") else "RGB"
        return np.array(file if mode is None else file.convert(mode))


def binary_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read a mask of black and white; soft edges are cut at half, as both papers' programs do.

    The masks of DUTS are not entirely binary as distributed. So grey edges of a lossless file are
    counted and cut; but a file whose grey exceeds a tenth of the picture is refused, and so is
    JPEG, which is not how any of these data sets distributes its masks.
    """
    levels = _grey_levels(files[0])
    if levels.max(initial=0) <= 1:  # masks stored as 0 and 1 instead of 0 and 255
        return TrueMask(mask=levels > 0)
    return _cut(files[0], levels, threshold, _GREY_SHARE)


def votes_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read a segmentation of CUB: votes of several annotators as grey levels, cut at half.

    ReDO (Chen et al. 2019), which both papers follow, and both papers' programs cut so.
    """
    return _cut(files[0], _grey_levels(files[0]), threshold, 1.0)


def flower_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read a segmentation of Flowers: the flower on a blue ground, in JPEG; many are empty.

    A pixel is foreground if its red and its green are not 0 and its blue is not 254: the rule of
    ReDO's program, which made the numbers that both papers compare with.
    """
    red, green, blue = np.moveaxis(read_pixels(files[0], "RGB"), -1, 0)
    return TrueMask(mask=(red != 0) & (green != 0) & (blue != _FLOWER_BLUE))


def label_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read a class segmentation of PASCAL VOC: any class is foreground, void is not scored."""
    labels = read_pixels(files[0])
    if labels.ndim != 2 or ((labels > 20) & (labels != _VOID)).any():
        raise UnreadableImageError(
            f"{files[0]} does not hold the labels 0 to 20 and {_VOID}; expected a palette PNG as "
            "PASCAL VOC distributes it, not its colours."
        )
    return TrueMask(mask=(labels > 0) & (labels != _VOID), scored=labels != _VOID)


def union_mask(files: tuple[Path, ...], threshold: bool) -> TrueMask:
    """Read the parts of a face of CelebAMask-HQ: foreground is what any binary part covers."""
    parts = [binary_mask((file,), threshold) for file in files]
    height, width = parts[0].mask.shape
    for file, part in zip(files, parts, strict=True):
        if part.mask.shape != (height, width):
            raise UnreadableImageError(
                f"{file} has {part.mask.shape[1]}x{part.mask.shape[0]} pixels, {files[0].name} "
                f"{width}x{height}; the parts of one face must have the same size."
            )
    union = np.logical_or.reduce([part.mask for part in parts])
    return TrueMask(mask=union, grey=sum(part.grey for part in parts))


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


def _cut(path: Path, levels: NDArray[np.uint8], threshold: bool, most: float) -> TrueMask:
    """Cut grey levels at half; unless `threshold`, JPEG and more than that share are refused."""
    grey = int(np.count_nonzero((levels > 0) & (levels < 255)))
    share, lossy = grey / levels.size, path.suffix.lower() in (".jpg", ".jpeg")
    if grey and not threshold and (lossy or share > most):
        why = "JPEG blurs a mask's edges" if lossy else "it is no mask with soft edges"
        raise UnreadableImageError(
            f"{path} is not binary: {share:.1%} of its pixels are grey ({why}); expected black "
            "and white. Take the data set's own files, or state a threshold at half by adding "
            "+threshold to the benchmark's name."
        )
    return TrueMask(mask=levels >= _HALF, grey=grey)
