"""Where a data set's files lie: the layouts in which it is distributed or both programs want it.

A layout names its parts (folders and lists) by the places where each may be; a data set is found
in the first of its layouts of which every part is there.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gseg.mask_files import MaskReader, binary_mask
from gseg.picture_files import PictureList, list_pictures
from gseg.storage.files import read_text

PROGRAM: Final = "official program"
DISTRIBUTED: Final = "as distributed"
# Problems that an error message lists.
_SHOWN: Final = 5


class NotHereError(ValueError):
    """A folder holds nothing of a data set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """The files of one picture.

    Attributes:
        id: Its name within the data set.
        picture: Picture file.
        masks: Mask files: one, or one for each part of a face.
    """

    id: str
    picture: Path
    masks: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """What a layout holds of the benchmark's split.

    Attributes:
        pairs: The complete pairs.
        problems: One line for each picture or mask that has no counterpart.
        incomplete: Why the pictures cannot be chosen as published; empty if they can.
    """

    pairs: tuple[Pair, ...]
    problems: tuple[str, ...] = ()
    incomplete: str = ""


def pair_by_name(
    parts: Mapping[str, Path],
    pictures: Mapping[str, Path],
    masks: Mapping[str, Path],
    names: Iterable[str] | None = None,
) -> Listing:
    """Match pictures and masks of equal name.

    Args:
        parts: The folders ``pictures`` and ``masks``.
        pictures: Picture file by name.
        masks: Mask file by name.
        names: The split; without it, every name that occurs.

    Returns:
        Pairs in the order of the names, and what has no counterpart.

    Raises:
        ValueError: The split is empty, or names a picture twice.
    """
    pairs, problems = [], []
    place = parts.get("split", parts.get("list"))
    if names is not None:
        names = _checked_names(names, place)
    for name in sorted(pictures.keys() | masks.keys()) if names is None else names:
        picture, mask = pictures.get(name), masks.get(name)
        if picture and mask:
            pairs.append(Pair(id=name, picture=picture, masks=(mask,)))
        elif picture:
            problems.append(f"{picture} has no mask in {parts['masks']}")
        elif mask:
            problems.append(f"{mask} has no picture in {parts['pictures']}")
        else:
            problems.append(f"{name}, which {place} names, has neither picture nor mask")
    return Listing(pairs=tuple(pairs), problems=tuple(problems))


def pair_lists(parts: Mapping[str, Path], pictures: PictureList, masks: PictureList) -> Listing:
    """Match all pictures and masks by their paths without suffix; which are ambiguous is told."""
    (named, doubled), (named_masks, doubled_masks) = pictures.by_name(), masks.by_name()
    ambiguous = doubled.keys() | doubled_masks.keys()
    clear = (
        {name: each[name] for name in each.keys() - ambiguous} for each in (named, named_masks)
    )
    found = pair_by_name(parts, *clear)
    problems = (*doubled.values(), *doubled_masks.values(), *found.problems)
    return Listing(pairs=found.pairs, problems=problems)


def _checked_names(names: Iterable[str], place: Path | None) -> list[str]:
    """Refuse a list without names, and one that has a name twice, whose picture would count twice.

    Raises:
        ValueError: It is such a list.
    """
    counts = Counter(names)
    if not counts:
        raise ValueError(f"{place} names no pictures of the split.")
    (name, number), *_ = counts.most_common(1)
    if number > 1:
        raise ValueError(f"{place} names {name} {number} times; expected each picture once.")
    return list(counts)


def files_by_stem(folder: Path, *, strip: str = "") -> dict[str, Path]:
    """Index the picture files of a folder and of those below it by path without suffix.

    Args:
        folder: Where to look.
        strip: Beginning of file names that does not count, such as "image_".

    Raises:
        ValueError: Two files differ in their suffix only.
    """
    files, problems = list_pictures(folder).by_name(strip=strip)
    for problem in problems.values():
        raise ValueError(f"{problem}.")
    return files


def two_folders(parts: Mapping[str, Path], names: Iterable[str] | None = None) -> Listing:
    """List the split `names`, or all that is there, of the folders ``pictures`` and ``masks``."""
    pictures, masks = files_by_stem(parts["pictures"]), files_by_stem(parts["masks"])
    return pair_by_name(parts, pictures, masks, names)


def names_in_list(parts: Mapping[str, Path]) -> Listing:
    """List a layout whose split is a file ``list`` with a picture's name in each line."""
    lines = read_text(parts["list"]).splitlines()
    return two_folders(parts, [line.strip() for line in lines if line.strip()])


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """One way in which a data set's files lie in a folder.

    Attributes:
        parts: Places of each part below the data set's folder; the first that exists counts.
        pairs: Lists the split's pairs, given where the parts are; ValueError if a list is bad.
        read_mask: How its masks are stored.
        name: `DISTRIBUTED` or `PROGRAM`.
    """

    parts: Mapping[str, Sequence[str]]
    pairs: Callable[[Mapping[str, Path]], Listing] = two_folders
    read_mask: MaskReader = binary_mask
    name: str = DISTRIBUTED


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """A published benchmark: what it is and where its files lie.

    Attributes:
        name: Name on the command line and in rows.
        title: As its authors call it.
        pictures: How many the papers score on.
        crop: Whether the papers cut the largest central square out.
        split: Which pictures these are.
        folders: Names that its folder has below a root of benchmarks.
        layouts: In the order in which they are looked for.
        address: Where to get it.
        licence: As stated by its authors, where that is known; otherwise see the address.
        mask_scale: Side of a mask over that of its picture.
    """

    name: str
    title: str
    pictures: int
    split: str
    folders: tuple[str, ...]
    layouts: tuple[Layout, ...]
    address: str
    crop: bool = False
    licence: str = "see there"
    mask_scale: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundFiles:
    """Where a data set was found.

    Attributes:
        folder: Its own folder.
        layout: In which layout.
        parts: Where the layout's parts are.
    """

    folder: Path
    layout: Layout
    parts: Mapping[str, Path]


def find_place(dataset: DataSet, path: Path) -> FoundFiles:
    """Find a data set's files, in the first of its layouts that is complete.

    Args:
        dataset: Which.
        path: Its folder, or a root folder that holds it.

    Raises:
        NotHereError: There is no such folder, or nothing of any layout in it.
        ValueError: A part of every layout is missing.
    """
    if not path.is_dir():
        raise NotHereError(f"No folder {path}; expected {dataset.title} there: {_wanted(dataset)}.")
    best: tuple[Path, Layout, dict[str, Path]] | None = None
    for folder in (path, *(path / name for name in dataset.folders)):
        for layout in dataset.layouts:
            parts = _existing_parts(folder, layout)
            if len(parts) == len(layout.parts):
                return FoundFiles(folder=folder, layout=layout, parts=parts)
            # What lies beside the folder (CUB's masks) alone does not make it the data set's.
            inside = [part for part in parts.values() if ".." not in part.parts]
            if inside and (best is None or len(parts) > len(best[2])):
                best = folder, layout, parts
    if best is None:
        raise NotHereError(f"{path} does not hold {dataset.title}; expected {_wanted(dataset)}.")
    folder, layout, parts = best
    there = ", ".join(layout.parts[part][0] for part in parts)
    missing = ", ".join(places[0] for part, places in layout.parts.items() if part not in parts)
    raise ValueError(
        f"{dataset.title} in {folder} is not complete: {there} is there, but no {missing}. "
        f"Expected {_wanted(dataset)}. Where to get it: {dataset.address}."
    )


def first_of(problems: Sequence[str]) -> str:
    """Join the first of some lines for an error message."""
    more = f"\n  and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
    return "\n  ".join(["", *problems[:_SHOWN]]) + more


def _existing_parts(folder: Path, layout: Layout) -> dict[str, Path]:
    found = {}
    for part, places in layout.parts.items():
        there = next((folder / place for place in places if (folder / place).exists()), None)
        if there is not None:
            found[part] = there
    return found


def _wanted(dataset: DataSet) -> str:
    layouts = (", ".join(place[0] for place in each.parts.values()) for each in dataset.layouts)
    return f"{'; or '.join(layouts)}; in the folder itself or in a folder {dataset.folders[0]}/"
