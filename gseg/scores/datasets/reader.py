"""A published data set as a benchmark, checked when it is opened.

Opening compares the number of pictures with the published one, finds what has no counterpart, reads
the headers of all files and compares sizes, and reads a few masks. What these masks do not show is
found when a picture is read: each mask is checked then, and no score is taken of one that is not
what the data set's masks are.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch
from PIL import Image

from gseg.images import UnreadableImageError
from gseg.scores.contract import Example, checked_index
from gseg.scores.datasets.layouts import DataSet, Pair, Place, find_place, first_of
from gseg.scores.datasets.masks import TrueMask, read_pixels

PAPERS_SIZE: Final = 128
"""Shorter side at which both papers segment photographs."""
SUBSET: Final = "subset"
THRESHOLD: Final = "threshold"
OPTIONS: Final = (SUBSET, THRESHOLD)
"""What may follow a data set's name after a plus sign."""

_RULES: Final = 1
"""Raised when a reader's rules change: scores of other rules are not found again."""
_OPENED_MASKS: Final = 16
"""Masks that are read when a data set is opened."""
_SIZES_KEPT: Final = 2**17


class DataSetBenchmark:
    """The pictures of a published data set that the papers score on.

    Args:
        dataset: Which.
        path: Its folder, or a root folder that holds it.
        options: Of `OPTIONS`. ``subset``: take what is there, whatever the published number;
            ``threshold``: cut grey masks at half, also those that this data set does not have.
            Both become part of the name, so that no table takes one for the other.
        skip_bad: Leave incomplete and unreadable pairs out and list them in `bad`.

    Raises:
        ValueError: The files are not there or not complete, their number is not the published
            one, or a pair is bad; the message says what was expected and what to do.
    """

    working_size: int = PAPERS_SIZE
    from_files: bool = True

    def __init__(
        self,
        dataset: DataSet,
        path: str | Path,
        *,
        options: Sequence[str] = (),
        skip_bad: bool = False,
    ) -> None:
        self.dataset, self.crop, self.skip_bad = dataset, dataset.crop, skip_bad
        self.name = "+".join([dataset.name, *sorted(set(options))])
        self.place: Place = find_place(dataset, Path(path).expanduser())
        self._threshold = THRESHOLD in options
        listing = self.place.layout.pairs(self.place.parts)
        problems = [_problem(pair, dataset.mask_scale) for pair in listing.pairs]
        good = [pair for pair, bad in zip(listing.pairs, problems, strict=True) if bad is None]
        self.pairs: tuple[Pair, ...] = tuple(good)
        self.bad = (*listing.problems, *(bad for bad in problems if bad is not None))
        if SUBSET not in options:
            self._check_number(len(listing.pairs) + len(listing.problems), listing.incomplete)
        if (self.bad and not skip_bad) or not self.pairs:
            raise ValueError(self._complaint())
        self._check_masks()
        self.identity = f"{self.name} rules={_RULES} {self._digest()}"

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        """Read an example from its files."""
        return self.read(index)[0]

    def read(self, index: int) -> tuple[Example, int]:
        """Read an example, and say how many grey pixels its mask has.

        Args:
            index: Position in the benchmark.

        Returns:
            The example, and the pixels that were cut at half.

        Raises:
            UnreadableImageError: A file is damaged, or no mask of this data set's kind.
        """
        pair = self.pairs[checked_index(index, len(self))]
        pixels = torch.from_numpy(read_pixels(pair.picture, "RGB"))
        truth = self._read_mask(pair)
        size, scale = tuple(pixels.shape[:2]), self.dataset.mask_scale
        if not _fits(size, truth.mask.shape, scale):
            raise UnreadableImageError(_other_size(pair, size, truth.mask.shape, scale))
        example = Example(
            id=pair.id,
            picture=pixels.permute(2, 0, 1).contiguous(),
            mask=torch.from_numpy(truth.mask),
            scored=None if truth.scored is None else torch.from_numpy(truth.scored),
        )
        return example, truth.grey

    def _read_mask(self, pair: Pair) -> TrueMask:
        return self.place.layout.read_mask(pair.masks, self._threshold)

    def _digest(self) -> str:
        lines = (
            f"{pair.id} {file.name} {file.stat().st_size}"
            for pair in self.pairs
            for file in (pair.picture, *pair.masks)
        )
        return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()

    def _check_number(self, found: int, incomplete: str) -> None:
        dataset = self.dataset
        if found == dataset.pictures and not incomplete:
            return
        why = incomplete or (
            f"{self.place.folder} ({self.place.layout.name}) holds {found:,} pictures of "
            f"{dataset.title}, published are {dataset.pictures:,}: {dataset.split}"
        )
        raise ValueError(
            f"{why}. Complete it, or score on what is there as a benchmark of its own, "
            f"'{dataset.name}+{SUBSET}'."
        )

    def _check_masks(self) -> None:
        """Read a few masks, evenly spread, so that files of another kind are seen at once."""
        count = min(len(self), _OPENED_MASKS)
        for number in range(count):
            try:
                self._read_mask(self.pairs[number * len(self) // count])
            except UnreadableImageError:
                if not self.skip_bad:
                    raise

    def _complaint(self) -> str:
        advice = "Repair them, or skip them (--skip-bad)." if self.pairs else "None is usable."
        return (
            f"{self.dataset.title} in {self.place.folder}: {len(self.bad):,} bad, "
            f"{len(self):,} good pictures:{first_of(self.bad)}\n{advice}"
        )


def _problem(pair: Pair, scale: float) -> str | None:
    sizes = []
    for file in (pair.picture, *pair.masks):
        try:
            facts = file.stat()
            sizes.append(_stored_size(str(file), facts.st_size, facts.st_mtime_ns))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            return f"{file} cannot be read: {error}"
    for size in sizes[1:]:
        if not _fits(sizes[0], size, scale):
            return _other_size(pair, sizes[0], size, scale)
    return None


@lru_cache(maxsize=_SIZES_KEPT)
def _stored_size(path: str, size: int, changed: int) -> tuple[int, int]:
    """Read height and width from a header; once, unless the file's size or time changes."""
    with Image.open(path) as file:
        return file.height, file.width


def _fits(picture: tuple[int, ...], mask: tuple[int, ...], scale: float) -> bool:
    return tuple(scale * side for side in picture) == tuple(mask)


def _other_size(pair: Pair, picture: tuple[int, ...], mask: tuple[int, ...], scale: float) -> str:
    expected = "" if scale == 1 else f"; expected {scale:g} times its picture's size"
    return (
        f"{pair.masks[0]} is {mask[1]}x{mask[0]}, its picture {pair.picture.name} "
        f"{picture[1]}x{picture[0]}{expected}"
    )
