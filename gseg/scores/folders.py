"""Pair the files of `images/` and `masks/` by name, reading nothing but their headers."""

import difflib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import Image

SUFFIXES: Final = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Files with other suffixes are not taken for pictures."""

_ORIENTATION_TAG: Final = 0x0112
_TURNED: Final = (5, 6, 7, 8)
"""Orientations that swap width and height."""
_SIZES_KEPT: Final = 2**16


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderPairs:
    """The usable pairs of a folder and what is wrong with the others.

    Attributes:
        stems: Names of the usable pairs, sorted.
        images: Picture file of each stem.
        masks: Mask file of each stem.
        problems: One line for each bad picture, naming its file.
        listing: Name and size in bytes of every file of a usable pair.
    """

    stems: tuple[str, ...]
    images: dict[str, Path]
    masks: dict[str, Path]
    problems: tuple[str, ...]
    listing: tuple[str, ...]


def list_pairs(folder: Path) -> FolderPairs:
    """Match pictures and masks and compare their sizes.

    Args:
        folder: Holds `images/` and `masks/`.

    Returns:
        Good pairs and problems.

    Raises:
        ValueError: The folder or one of the two is missing, or there is no picture at all.
    """
    images, doubled = _by_stem(_subfolder(folder, "images"))
    masks, doubled_masks = _by_stem(_subfolder(folder, "masks"))
    if not images and not masks:
        raise ValueError(f"No pictures in {folder / 'images'} or {folder / 'masks'}.")
    problems = doubled + doubled_masks
    stems = []
    for stem in sorted(images.keys() | masks.keys()):
        problem = _problem(images.get(stem), masks.get(stem), folder)
        if problem is None:
            stems.append(stem)
        else:
            problems.append(problem)
    files = [file for stem in stems for file in (images[stem], masks[stem])]
    return FolderPairs(
        stems=tuple(stems),
        images=images,
        masks=masks,
        problems=tuple(problems),
        listing=tuple(f"{file.relative_to(folder)} {file.stat().st_size}" for file in files),
    )


def upright_size(path: Path) -> tuple[int, int]:
    """Read a picture's size from its header, as it is after turning it upright.

    Args:
        path: The file.

    Returns:
        Height and width.

    Raises:
        OSError: The header cannot be read.
    """
    with Image.open(path) as file:
        width, height = file.size
        # Asking a PNG without early EXIF for it would decode the whole picture.
        known = file.format != "PNG" or "exif" in file.info
        turned = known and file.getexif().get(_ORIENTATION_TAG) in _TURNED
    return (width, height) if turned else (height, width)


@lru_cache(maxsize=_SIZES_KEPT)
def _known_size(path: Path, size: int, changed: int) -> tuple[int, int]:
    """Read a header once, unless the file's size or time changes."""
    return upright_size(path)


def _subfolder(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise ValueError(f"No folder {folder}; expected one with images/ and masks/.")
    if (folder / name).is_dir():
        return folder / name
    there = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    near = difflib.get_close_matches(name, there, n=1)
    hint = f" ({near[0]}/ is there: rename it)" if near else ""
    raise ValueError(f"{folder} has no subfolder {name}/{hint}; expected images/ and masks/.")


def _by_stem(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Index picture files by stem; a second file of one stem is a problem."""
    files: dict[str, Path] = {}
    problems = []
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        first = files.setdefault(file.stem, file)
        if first is not file:
            problems.append(f"{file} has the same name as {first.name} but for the suffix")
    return files, problems


def _problem(image: Path | None, mask: Path | None, folder: Path) -> str | None:
    if mask is None:
        return f"{image} has no mask in {folder / 'masks'}"
    if image is None:
        return f"{mask} has no picture in {folder / 'images'}"
    sizes = []
    for file in (image, mask):
        try:
            facts = file.stat()
            sizes.append(_known_size(file, facts.st_size, facts.st_mtime_ns))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"{file} cannot be read: {error}"
    if sizes[0] != sizes[1]:
        (height, width), (mask_height, mask_width) = sizes
        return f"{mask} is {mask_width}x{mask_height}, its picture {image.name} {width}x{height}"
    return None
