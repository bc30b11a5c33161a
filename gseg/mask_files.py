"""Files of masks: what their values mean, in the codings that programs and data sets write.

A mask of a user's is read by `coded_mask`, which knows the codings in the table of
docs/benchmarks.md by what a file holds, says which one it took, and refuses what it cannot know;
then a `MaskCoding` has to say it. Masks of published data sets have readers of their own, whose
rules are those of the papers' programs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gseg.mask_coding import FROM_FILE, MaskCoding
from gseg.picture_files import UnreadableImageError, finite_levels, opened, read_pixels

if TYPE_CHECKING:  # lists of benchmarks are read by commands that must not wait for torch
    from torch import Tensor

RULES: Final = 1
"""Raised when `coded_mask` reads a file differently: scores of other rules are not found again."""

# Bytes from here are foreground: above 0.5 of full scale, as both papers' programs have it.
_HALF: Final = 128
# More pixels than this between black and white: no mask with soft edges, but something else.
_GREY_SHARE: Final = 0.1
_COLOUR: Final = 32
# A picture is coloured if the channels of so many pixels differ by more than 32: JPEG's own noise
# is less.
_COLOURED_SHARE: Final = 0.01
# Nothing that JPEG makes of black and white.
_STRONG_COLOUR: Final = 128
# Blue of the background in Flowers' segmentations, (0, 0, 254) before JPEG.
_FLOWER_BLUE: Final = 254
# Label of PASCAL VOC's borders and difficult objects.
_VOID: Final = 255
# From here to white, and as far from black, a value is noise of a codec, not grey.
_WHITE: Final = 224
# Shares of grey pixels like both of their neighbours: soft edges have few, areas of labels most.
_PLATEAU: Final = 0.25
# So many grey pixels of one value, or a thousandth of all, may be what is left of an edge.
_STRAY: Final = 8
_FULL_SCALES: Final = (255, 65535, 2**31 - 1)
# Formats that change values a little.
_LOSSY: Final = ("JPEG", "MPO", "WEBP", "AVIF", "HEIF", "JPEG2000")
# The first colours of the palette that PASCAL VOC's annotations and their many successors have.
_VOC_COLOURS: Final = ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
# Values that an error names.
_NAMED: Final = 6

BLACK_AND_WHITE: Final = "black and white"
SOFT: Final = "soft edges, cut at half"
ZERO_ONE: Final = "0 and 1"
ZERO_ONE_VOID: Final = "0, 1 and void 255"
INDICES: Final = "palette indices"
ALPHA: Final = "alpha"
EMPTY: Final = "all background"
OPAQUE_BLACK: Final = "opaque black"
# What cannot be meant in one folder, though each file alone could be read.
_CONTRADICTIONS: Final = (
    (ZERO_ONE_VOID, (BLACK_AND_WHITE, SOFT), "255 is void in one and foreground in the other"),
    (ALPHA, (OPAQUE_BLACK,), "black is background in one and foreground in the other"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrueMask:
    """A true mask, as read.

    Attributes:
        mask: (H, W) bool, True is foreground.
        scored: (H, W) bool, or None if every pixel is scored.
        grey: Number of pixels that were neither black nor white in the file.
        coding: In which coding a user's mask was taken to be.
    """

    mask: NDArray[np.bool_]
    scored: NDArray[np.bool_] | None = None
    grey: int = 0
    coding: str = ""


def read_mask(path: str | Path, coding: MaskCoding = FROM_FILE) -> "Tensor":
    """Read a mask of a user's; void is background.

    Args:
        path: The file.
        coding: What its values mean, if they do not say it.

    Returns:
        (H, W) bool.

    Raises:
        UnreadableImageError: The file cannot be read, or nobody can know what its values mean.
    """
    import torch

    return torch.from_numpy(coded_mask(Path(path), coding).mask)


def coded_mask(path: Path, coding: MaskCoding = FROM_FILE) -> TrueMask:
    """Read a mask of a user's, and say in which coding it was taken to be.

    Raises:
        UnreadableImageError: The file cannot be read, or nobody can know what its values mean.
    """
    with opened("Cannot read mask {path}", path) as file:
        lossy = file.format in _LOSSY
        ImageOps.exif_transpose(file, in_place=True)
        found = _read(file, coding, lossy)
    if coding.inverted:
        found = replace(found, mask=~found.mask)
    return found


def check_codings(found: Iterable[str], where: str | Path) -> None:
    """Make sure that the codings of masks can be meant together.

    Raises:
        UnreadableImageError: The same value would mean different things in two files.
    """
    codings = set(found)
    for one, others, why in _CONTRADICTIONS:
        other = next((each for each in others if each in codings), None)
        if one in codings and other:
            raise UnreadableImageError(
                f"{where}: some masks read as {one!r}, others as {other!r}: {why}. {_say('')}"
            )


def _say(example: str) -> str:
    shown = f", such as {example}" if example else ""
    return f"Say what their values mean with --mask-coding{shown} (docs/benchmarks.md)"


def _read(picture: Image.Image, coding: MaskCoding, lossy: bool) -> TrueMask:
    """Find what in the file is the mask: alpha, colours, a palette's indices, or values."""
    alpha = _alpha(picture)
    if coding.rule == "alpha":
        if alpha is None:
            raise ValueError("it has no alpha, which its coding says is the mask")
        return TrueMask(mask=alpha >= _HALF, grey=_greys(alpha), coding=ALPHA)
    if coding.rule == "colour":
        strongest = np.asarray(picture.convert("RGB")).max(2)
        return TrueMask(mask=strongest >= (_COLOUR if lossy else 1), coding="colour")
    if coding.named_levels:
        return _by_levels(_stored_levels(picture, coding, lossy), coding)
    if coding.rule == "threshold":
        return _cut_at_half(_levels(picture, lossy))
    if alpha is not None and not coding.void and alpha.min() < alpha.max():
        return _by_alpha(picture, alpha)
    if picture.mode in ("P", "PA") and not _is_black_and_white(picture):
        return _by_index(picture, coding.void)
    levels = _levels(picture, lossy)
    if alpha is not None and not alpha.any() and levels.any():
        raise ValueError(f"it is transparent all over, but not black. {_say('alpha')}")
    found = _by_value(levels, coding.void, lossy)
    opaque_black = found.coding == EMPTY and alpha is not None and alpha.any()
    return replace(found, coding=OPAQUE_BLACK) if opaque_black else found


def _alpha(picture: Image.Image) -> NDArray[np.uint8] | None:
    if picture.mode not in ("RGBA", "LA", "PA", "RGBa", "La"):
        # Pillow knows no transparent values of deep files.
        if "transparency" not in picture.info or picture.mode[0] in "IF":
            return None
        picture = picture.convert("RGBA")
    return np.asarray(picture.getchannel(picture.getbands()[-1]))


def _indices(picture: Image.Image) -> NDArray[np.uint8]:
    indices = np.asarray(picture)
    return indices if indices.ndim == 2 else indices[..., 0]


def _palette(picture: Image.Image) -> NDArray[np.uint8]:
    return np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)


def _is_black_and_white(picture: Image.Image) -> bool:
    """Say whether a palette holds greys from black to white: then colours count, not indices."""
    # Programs that make files smaller sort palettes as they like: index 0 may be white.
    declared = _palette(picture)
    used = np.unique(_indices(picture))
    for colours in (declared, declared[used[used < len(declared)]]):
        if len(colours) and (colours == colours[:, :1]).all():
            dark, light = int(colours.min()), int(colours.max())
            if light >= _WHITE and (dark < _COLOUR or (colours is declared and dark == light)):
                return True
    return False


def _levels(picture: Image.Image, lossy: bool) -> NDArray[Any]:
    """Give grey values as they are stored; those of 1 bit are 0 and 255.

    Raises:
        ValueError: The picture is coloured, or a value is not finite.
    """
    if picture.mode in ("L", "LA"):
        return np.asarray(picture if picture.mode == "L" else picture.getchannel("L"))
    if picture.mode == "1":
        return np.asarray(picture.convert("L"))
    if picture.mode[0] in "IF":
        return finite_levels(picture)
    pixels = np.asarray(picture.convert("RGB"))
    spread = pixels.max(2) - pixels.min(2)
    widest, grey = spread.max(), pixels[..., 0]
    # Of a lossless file any colour counts: labels may be coded as shades of nearly black.
    coloured = (
        widest >= _STRONG_COLOUR or (spread > _COLOUR).mean() > _COLOURED_SHARE
        if lossy
        else widest > _COLOUR or (widest > 0 and grey.max() < _WHITE)
    )
    if coloured:
        raise ValueError(
            f"it is coloured, expected black and white. {_say('colour')} if any colour but black "
            "is foreground"
        )
    return grey


def _stored_levels(picture: Image.Image, coding: MaskCoding, lossy: bool) -> NDArray[Any]:
    """Give the levels that a coding names: a palette's indices, or grey values."""
    if lossy:
        raise ValueError(
            f"its format changes levels, and {' '.join(coding.words)} names some: take PNG files, "
            "or leave the coding out if they are black and white"
        )
    if picture.mode in ("P", "PA"):
        return _indices(picture)
    levels = _levels(picture, lossy)
    named = (*coding.foreground, *coding.background, *coding.void)
    return levels // _VOID if picture.mode == "1" and _VOID not in named else levels


def _by_levels(levels: NDArray[Any], coding: MaskCoding) -> TrueMask:
    """Take the levels that a coding names."""
    scored, mask = ~np.isin(levels, coding.void), np.isin(levels, coding.foreground)
    if coding.background:
        rest = scored & ~np.isin(levels, coding.background)
        if coding.foreground and (rest & ~mask).any():
            found = _listed(levels[rest & ~mask])
            raise ValueError(
                f"it also holds {found}, and {' '.join(coding.words)} does not say why"
            )
        mask = rest
    told = " ".join(coding.words)
    return TrueMask(mask=mask, scored=None if scored.all() else scored, coding=told)


def _by_alpha(picture: Image.Image, alpha: NDArray[np.uint8]) -> TrueMask:
    mask = alpha >= _HALF
    seen = np.asarray(picture.convert("RGB"))[mask]
    # What can be seen is a mask of its own.
    if np.isin(seen, (0, 255)).all() and (seen == 0).all(1).any() and (seen == 255).all(1).any():
        raise ValueError(
            f"its alpha is a mask, and what alpha shows is black and white. {_say('alpha')}, or "
            "threshold for black and white"
        )
    return TrueMask(mask=mask, grey=_greys(alpha), coding=ALPHA)


def _by_index(picture: Image.Image, void: tuple[int, ...]) -> TrueMask:
    """Take a palette's indices: 0 is background, and 255 void unless other levels are."""
    indices, colours = _indices(picture), _palette(picture)[: len(_VOC_COLOURS)]
    scored = ~np.isin(indices, void or (_VOID,))
    mask = scored & (indices > 0)
    usual = len(colours) > 1 and (colours == _VOC_COLOURS[: len(colours)]).all()
    if not usual and (indices[mask] > 1).any():
        raise ValueError(_unclear(indices, "the palette's indices"))
    return TrueMask(mask=mask, scored=None if scored.all() else scored, coding=INDICES)


def _by_value(levels: NDArray[Any], void: tuple[int, ...], lossy: bool) -> TrueMask:
    """See from the values what they mean; those of void count as background meanwhile."""
    if not void:
        return _by_known_value(levels, lossy)
    if lossy:
        raise ValueError("its format changes levels, and void names some: take PNG files")
    scored = ~np.isin(levels, void)
    found = _by_known_value(np.where(scored, levels, levels.dtype.type(0)), lossy)
    if found.scored is not None:
        raise ValueError(_unclear(levels, "the values"))
    return replace(found, scored=None if scored.all() else scored)


def _by_known_value(levels: NDArray[Any], lossy: bool) -> TrueMask:
    # Most masks are these, and 0 and 255 are what is at most 1 after adding 1.
    if levels.dtype == np.uint8 and (levels + np.uint8(1)).max() <= 1:
        mask = levels > 0
        return TrueMask(mask=mask, coding=BLACK_AND_WHITE if mask.any() else EMPTY)
    if levels.dtype.kind != "f":
        return _by_whole_value(levels, lossy)
    if levels.max() > 1 and (levels == np.rint(levels)).all():
        return _by_whole_value(levels.astype(np.int64), lossy)
    if levels.min() < 0 or levels.max() > 1:
        raise ValueError(
            f"its values go from {levels.min():g} to {levels.max():g}, expected 0 to 1, or 0 and "
            "255"
        )
    return _nearly_binary(levels, (levels * 255).astype(np.uint8))


def _by_whole_value(levels: NDArray[Any], lossy: bool) -> TrueMask:
    scale = _scale(levels)
    if scale == 1:
        return TrueMask(mask=levels > 0, coding=ZERO_ONE if levels.any() else EMPTY)
    if scale == _VOID and not lossy:
        ones, voids = levels == 1, levels == _VOID
        labels = np.count_nonzero(ones), np.count_nonzero(voids)
        if all(labels) and sum(labels) == np.count_nonzero(levels):
            return TrueMask(mask=ones, scored=~voids, coding=ZERO_ONE_VOID)
    shades = (levels if scale == 255 else levels * (255 / scale)).astype(np.uint8, copy=False)
    if not lossy and _are_labels(shades):
        raise ValueError(_unclear(levels, "the values"))
    return _nearly_binary(levels, shades)


def _nearly_binary(levels: NDArray[Any], shades: NDArray[np.uint8]) -> TrueMask:
    """Cut soft edges at half; `shades` are the levels as bytes."""
    if levels.max() > 0 and shades.max() < _WHITE:
        raise ValueError(_unclear(levels, "the values"))
    grey = np.count_nonzero((shades - np.uint8(_COLOUR)) < _WHITE - _COLOUR) / levels.size
    if grey > _GREY_SHARE:
        raise ValueError(
            f"{grey:.1%} of its pixels are grey, expected black and white with soft edges at most. "
            f"{_say('threshold')} to cut them at half"
        )
    return _cut_at_half(levels)


def _scale(levels: NDArray[Any]) -> int:
    """Say which value is white: what depth alone cannot, as files of 16 bits may hold 0 to 255."""
    if levels.dtype.kind != "u" and levels.min() < 0:
        raise ValueError(f"it holds {levels.min():g}; values of a mask are not negative")
    top = levels.max()
    return 1 if top <= 1 else next(scale for scale in _FULL_SCALES if top <= scale)


def _cut_at_half(levels: NDArray[Any]) -> TrueMask:
    scale = _scale(levels)
    mask = levels >= (scale / 2 if levels.dtype.kind == "f" else (scale + 1) // 2)
    grey = int(np.count_nonzero(levels) - np.count_nonzero(levels == scale))
    coding = SOFT if grey else BLACK_AND_WHITE if mask.any() else EMPTY
    return TrueMask(mask=mask, grey=grey, coding=coding)


def _are_labels(shades: NDArray[np.uint8]) -> bool:
    """Say whether grey comes in one value, or in areas of one, as labels do, and not in edges."""
    # Only where it is grey: a mask has 100,000 pixels, and its edges 1,000.
    flat, width = shades.ravel(), shades.shape[1]
    grey = np.flatnonzero((shades[:-1] - np.uint8(1)) < _WHITE - 1)
    values = flat[grey]
    even = (values == flat[grey + width]) & (values == flat[grey + 1])
    many = len(grey) > max(_STRAY, shades.size // 1000)
    alike = many and values[0] >= _COLOUR and (values == values[0]).all()
    return bool(alike or np.count_nonzero(even) > _PLATEAU * len(grey))


def _greys(levels: NDArray[np.uint8]) -> int:
    return int(np.count_nonzero((levels > 0) & (levels < 255)))


def _listed(levels: NDArray[Any]) -> str:
    values = np.unique(levels)
    more = f" and {len(values) - _NAMED:,} more" if len(values) > _NAMED else ""
    return ", ".join(f"{value:g}" for value in values[:_NAMED]) + more


def _unclear(levels: NDArray[Any], what: str) -> str:
    values = np.unique(levels)
    labels = [f"{value:g}" for value in values[values > 0] if value != _VOID]
    labels = labels[: 3 if 0 in values else 1]
    void = f" void={_VOID}" if _VOID in values else ""
    return (
        f"it holds {what} {_listed(levels)}, expected black and white, or 0 and 1 (255 for void). "
        + _say(f"foreground={','.join(labels)}{void}")
    )


MaskReader = Callable[[tuple[Path, ...], bool], TrueMask]
"""Mask files of a picture, and whether to threshold grey ones of any kind -> the mask. All readers
raise `UnreadableImageError` for a file that cannot be read or is no mask of their kind."""


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
