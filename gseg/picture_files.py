"""Files of pictures: which they are, their sizes, what their bytes mean.

All that opens a picture or mask (`gseg.mask_files`) of a user or of a data set goes through here. A
file that is not what it should be is an error that names it; nothing is flattened, cut off or left
out silently.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from io import BytesIO
from os.path import realpath
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, features

from gseg.downloads import misfetched

if TYPE_CHECKING:  # lists of benchmarks are read by commands that must not wait for torch
    from torch import Tensor

# Formats and the suffixes of their files. Files are read by content, whatever their suffix, but
# only as one of these: among Pillow's others are some that start programs.
_FORMATS: Final = {
    "PNG": (".png",),
    "JPEG": (".jpeg", ".jpg", ".jpe", ".jfif"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "PPM": (".pbm", ".pgm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "JPEG2000": (".jp2", ".j2k"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
}
# Who reads HEIC: an extra of this package, as it brings a library under the LGPL.
_HEIF_PLUGIN: Final = "pillow_heif"
_ADVICE: Final = {".heic": "install gseg[heic]", ".heif": "install gseg[heic]"}
# What file browsers and archives leave behind.
_NO_PICTURES: Final = frozenset({"__macosx", "@eadir", "thumbs.db", "desktop.ini"})
# Of a picture, 16,384 by 16,384: 0.8 GB when it is read, eight times that while it is segmented.
_MOST_PIXELS: Final = 2**28
# Kinds of files that a line names.
_NAMED_KINDS: Final = 4

_ORIENTATION_TAG: Final = 0x0112
# TIFF's tag whose first bit marks a smaller copy of another page.
_SUBFILE_TAG: Final = 254
# Orientations that swap width and height.
_TURNED: Final = (5, 6, 7, 8)
# A deep picture that stays below this share of its scale holds fewer bits than its file: shown by
# the file's depth it would be black.
_DARKEST: Final = 1 / 16


class UnreadableImageError(ValueError):
    """A picture or mask file cannot be decoded; the message names the file."""


@cache
def picture_suffixes() -> frozenset[str]:
    """Name the suffixes of the files that can be read here; others are not taken for pictures."""
    there = {
        "AVIF": features.check("avif"),
        "JPEG2000": features.check("jpg_2000"),
        "HEIF": find_spec(_HEIF_PLUGIN) is not None,
        "WEBP": features.check("webp"),
    }
    return frozenset(s for name, each in _FORMATS.items() if there.get(name, True) for s in each)


@cache
def _formats() -> tuple[str, ...]:
    """Make Pillow ready, once for a process, and name the formats that are read."""
    Image.MAX_IMAGE_PIXELS = None  # it would warn with a line of its source; see `_opened`
    if find_spec(_HEIF_PLUGIN) is not None:
        import pillow_heif  # type: ignore[import-not-found]

        pillow_heif.register_heif_opener()
    known = picture_suffixes()
    return tuple(name for name, suffixes in _FORMATS.items() if known.issuperset(suffixes))


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureList:
    """What a folder and the folders below it hold.

    Attributes:
        folder: Which.
        files: Picture files in the order of their paths.
        others: Files that are not taken for pictures; not those that are hidden.
    """

    folder: Path
    files: tuple[Path, ...]
    others: tuple[Path, ...] = ()

    @property
    def left_out(self) -> str:
        """One line about the files that are not taken; empty if there are none."""
        kinds = Counter(file.suffix.lower() for file in self.others)
        told = [
            f"{count:,} {kind or 'without suffix'}"
            + (f" ({_ADVICE[kind]})" if kind in _ADVICE else "")
            for kind, count in kinds.most_common(_NAMED_KINDS)
        ]
        rest = sum(kinds.values()) - sum(count for _, count in kinds.most_common(_NAMED_KINDS))
        told += [f"{rest:,} others"] if rest else []
        files = "1 file" if len(self.others) == 1 else f"{len(self.others):,} files"
        return f"{self.folder}: {files} left out: {', '.join(told)}" if told else ""

    def required(self) -> "PictureList":
        """Give the list back if it is not empty.

        Raises:
            ValueError: There are no pictures.
        """
        if self.files:
            return self
        known = ", ".join(sorted(picture_suffixes()))
        others = f" {self.left_out}." if self.others else ""
        raise ValueError(f"{self.folder} holds no pictures ({known}).{others}")

    def by_name(self, *, strip: str = "") -> tuple[dict[str, Path], dict[str, str]]:
        """Index the files by their paths below the folder, without suffix.

        Args:
            strip: Beginning of file names that does not count, such as "image_".

        Returns:
            The files, without those that differ in their suffix only; and by name what is wrong
            with these.
        """
        found: dict[str, Path] = {}
        doubled: dict[str, str] = {}
        for file in self.files:
            name = file.stem.removeprefix(strip)
            if file.parent != self.folder:
                name = (file.parent.relative_to(self.folder) / name).as_posix()
            first = found.setdefault(name, file)
            if first is not file:
                doubled[name] = f"{file} has the same name as {first.name} but for the suffix"
        return {name: file for name, file in found.items() if name not in doubled}, doubled


def list_pictures(
    folder: Path, *, suffixes: frozenset[str] | None = None, without: Path | None = None
) -> PictureList:
    """List the picture files of a folder and of all folders below it by name.

    Hidden files and folders, and what file browsers leave behind, are neither listed nor counted.

    Args:
        folder: Where to look.
        suffixes: Of the files that are taken; without it `picture_suffixes`.
        without: Folder below it that is passed over.
    """
    known = picture_suffixes() if suffixes is None else suffixes
    files: list[Path] = []
    others: list[Path] = []
    passed = set() if without is None else {realpath(without)}
    for where, below, names in os.walk(folder, followlinks=True):
        # A link to a folder is followed, but not in circles.
        passed.add(realpath(where))
        below[:] = [n for n in below if _shown(n) and realpath(Path(where, n)) not in passed]
        for file in (Path(where, name) for name in names if _shown(name)):
            (files if file.suffix.lower() in known else others).append(file)
    return PictureList(folder=folder, files=tuple(sorted(files)), others=tuple(sorted(others)))


def _shown(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _NO_PICTURES


def picture_size(path: Path, *, upright: bool) -> tuple[int, int]:
    """Read height and width from a header, turned as EXIF says if `upright`.

    Raises:
        UnreadableImageError: The header cannot be read.
    """
    with decoding("{path} cannot be read", path):
        facts = path.stat()
        return _known_size(path, upright, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=2**17)
def _known_size(path: Path, upright: bool, _size: int, _changed: int) -> tuple[int, int]:
    """Read a header once, unless the file's size or time changes."""
    with _opened(path) as file:
        width, height = file.size
        # Asking a PNG without early EXIF for it would decode the whole picture.
        known = upright and (file.format != "PNG" or "exif" in file.info)
        turned = known and file.getexif().get(_ORIENTATION_TAG) in _TURNED
    return (width, height) if turned else (height, width)


@contextmanager
def decoding(complaint: str, path: str | Path) -> Iterator[None]:
    """Turn what Pillow raises, of which there is much, into one error."""
    try:
        yield
    except (OSError, ValueError, SyntaxError) as error:
        reason = misfetched(path) or error
        raise UnreadableImageError(f"{complaint.format(path=path)}: {reason}") from error


@contextmanager
def opened(complaint: str, path: str | Path) -> Iterator[ImageFile.ImageFile]:
    """Open a file that holds one picture of a known format; what fails is an error that names it.

    Args:
        complaint: Beginning of the error, with {path}.
        path: The file.
    """
    with decoding(complaint, path), _opened(path) as file:
        yield file


@contextmanager
def _opened(path: str | Path) -> Iterator[ImageFile.ImageFile]:
    # A pipe would be waited for.
    if not S_ISREG(Path(path).stat().st_mode):
        raise ValueError("it is no file")
    with Image.open(path, formats=_formats()) as file:
        if file.width * file.height > _MOST_PIXELS:  # as its header says
            raise ValueError(
                f"it has {file.width} x {file.height} pixels, more than {_MOST_PIXELS:,}: make it "
                "smaller"
            )
        if _several(file):
            raise ValueError(
                f"it holds {getattr(file, 'n_frames', 2)} pictures, expected one: split it, for "
                "example with 'magick FILE PART-%03d.png'"
            )
        yield file


def _several(file: ImageFile.ImageFile) -> bool:
    """Say whether there are several pictures, or the first is not the whole one."""
    # A phone's MPO is a photograph, followed by a smaller or a second view of it.
    if not getattr(file, "is_animated", False) or file.format == "MPO":
        return False
    if file.format != "TIFF":
        return True
    smaller = []
    for page in range(file.n_frames):  # type: ignore[attr-defined]  # TIFF's own
        file.seek(page)
        smaller.append(bool(file.tag_v2.get(_SUBFILE_TAG, 0) & 1))  # type: ignore[attr-defined]
    file.seek(0)
    return smaller[0] or not all(smaller[1:])


def read_image(path: str | Path) -> "Tensor":
    """Read a picture file of any known format, upright (EXIF), alpha over white.

    Returns:
        (3, H, W) uint8; of deeper pictures the 8 highest bits.

    Raises:
        UnreadableImageError: The file is missing, truncated, no picture or several pictures, or
            nobody can know what its values mean.
    """
    import torch

    with opened("Cannot read picture {path}", path) as file:
        sixteen = ";16" in str(file.tile)
        picture = ImageOps.exif_transpose(file)
        if picture.mode[0] in "IF":
            pixels = _shallow(picture, stretched=file.format == "PPM")
        else:
            if sixteen and np.asarray(picture.convert("RGB")).max() < 256 * _DARKEST:
                raise ValueError(_too_dark("16 bits"))
            if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
                rgba = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
            pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _shallow(picture: Image.Image, *, stretched: bool) -> NDArray[np.uint8]:
    """Bring grey values of 16 or 32 bits, or floats, to (H, W, 3) uint8.

    Args:
        picture: Upright.
        stretched: Whether white is 65535, whatever the file says.

    Raises:
        ValueError: It cannot be known what is white.
    """
    levels = finite_levels(picture)
    top = levels.max(initial=0)
    # Some programs keep values of 8 bits in deeper files.
    scales = (65535,) if stretched else (1, 255) if picture.mode == "F" else (255, 65535)
    scale = next((each for each in scales if top <= each), None)
    if scale is None or levels.min(initial=0) < 0:
        raise ValueError(
            f"its values go from {levels.min():g} to {top:g}, expected 0 to "
            f"{' or 0 to '.join(map(str, scales))}; save it with 8 bits"
        )
    if 0 < top < scale * _DARKEST:
        raise ValueError(_too_dark(f"{scale}, but {top:g}"))
    # Of 16 bits the upper 8, as Pillow takes them of colours.
    grey = levels // 256 if scale == 65535 else np.rint(levels * (255 / scale))
    if "transparency" in picture.info:
        grey = np.where(levels == picture.info["transparency"], 255, grey)
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def _too_dark(depth: str) -> str:
    return (
        f"its largest value is not {depth}: less than a sixteenth, and the picture would be black "
        "(fewer bits in a deeper file?); save it with 8 bits"
    )


def finite_levels(picture: Image.Image) -> NDArray[Any]:
    """Give a deep picture's values.

    Raises:
        ValueError: One is not a finite number.
    """
    levels = np.array(picture)
    if picture.mode == "F" and not np.isfinite(levels).all():
        row, column = np.argwhere(~np.isfinite(levels))[0].tolist()
        raise ValueError(f"its value at row {row}, column {column} is {levels[row, column]}")
    return levels


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
    with opened("Cannot read {path}", path) as file:
        if file.mode[0] in "IF":
            raise ValueError("it has more than 8 bits, which no file of this data set has")
        if mode == "grey":
            mode = "L" if file.mode in ("1", "L") else "RGB"
        return np.array(file if mode is None else file.convert(mode))
