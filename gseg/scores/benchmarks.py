"""Benchmarks: sets of pictures with true masks that segmenters are scored on.

`open_benchmark` opens any of them by its specification (`gseg.scores.specs`): held-out scenes, a
published data set (`gseg.scores.datasets`), or a folder of one's own.

Opening a set of files finds what has no counterpart, and reads the headers of all files to compare
sizes; damage further inside a file shows when the example is read. Of a published data set the
number of pictures is compared with the published one, and a few masks are read. What these do not
show is found when a picture is read: no score is taken of a mask that is not what the data set's
masks are.
"""

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol

import torch
from torch import Tensor

from gseg import mask_files, picture_files
from gseg.mask_coding import FROM_FILE, MaskCoding, mask_coding
from gseg.mask_files import TrueMask
from gseg.picture_files import UnreadableImageError
from gseg.scenes.pictures import HELD_OUT_FIRST, Scenes, render
from gseg.scenes.versions import SCENES, VERSIONS
from gseg.scores.datasets import layouts
from gseg.scores.datasets.layouts import DataSet, Listing, Pair
from gseg.scores.specs import DATA_SETS, SUBSET, THRESHOLD, data_set_place, parse_spec
from gseg.storage.checksums import checksums
from gseg.storage.digests import digest
from gseg.storage.files import check_unchanged, fetch_inputs
from gseg.storage.mirror import storage_folder
from gseg.words import nearest

PAPERS_SIZE: Final = 128
"""Shorter side at which both papers segment photographs."""

_CHUNK: Final = 250
_Progress = Callable[[int, int], object]
# Raised when a reader's rules change: scores of other rules are not found again.
_RULES: Final = 1
# Masks that are read when a data set is opened.
_OPENED_MASKS: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A picture with its true mask.

    Attributes:
        id: Its name within the benchmark.
        picture: (3, H, W) uint8.
        mask: (H, W) bool, True is foreground. CelebAMask-HQ's masks are half as large as its
            pictures; all others have the picture's size.
        scored: (H, W) bool like the mask, False where nobody knows the truth (the void of PASCAL
            VOC); None to score every pixel.
        coding: As what a mask file of a user's was read; empty for all others.
    """

    id: str
    picture: Tensor
    mask: Tensor
    scored: Tensor | None = None
    coding: str = ""


class Benchmark(Protocol):
    """A set of labelled pictures; reading an example is a function of its number.

    Attributes:
        name: Name in tables, such as "scenes2", "cub" or "folder:weizmann_horse".
        identity: Says which pictures these are, by their content wherever they lie; goes into the
            hash of their scores.
        working_size: Shorter side in pixels at which segmenters see the pictures unless told
            otherwise.
        crop: Whether the papers cut the largest central square out of the pictures.
        skip_bad: Whether a file that cannot be read is listed instead of ending the scoring.
        bad: What was left out when the benchmark was opened: one line each, naming the file.
        notes: What else there is to say about its files: one line each.
        from_files: Whether reading is decoding of files, which several threads do faster than one.
    """

    name: str
    identity: str
    working_size: int
    crop: bool = False
    skip_bad: bool = False
    bad: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    from_files: bool = False

    @property
    def older_identity(self) -> str:
        """What older versions took for the identity."""
        return self.identity

    @property
    def digest(self) -> str:
        """Tells sets of one name apart in rows."""
        return identity_digest(self.identity)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> Example:
        """Read an example; raises UnreadableImageError if its files are damaged."""

    def content(self, index: int) -> str:
        """Name a picture by its content, alike in all benchmarks that hold it."""
        return f"{self.identity} {index}"


def identity_digest(identity: str) -> str:
    """Give what rows call the pictures of a benchmark's identity."""
    return digest("benchmark", identity)


def _checked(index: int, count: int) -> int:
    """Give an index back if there is such an example."""
    # Without the IndexError ``for example in benchmark`` would not end; a negative index would be
    # another example in a part than in the whole.
    if not 0 <= index < count:
        raise IndexError(f"Example {index} of {count}.")
    return index


class ScenesBenchmark(Benchmark):
    """Held-out pictures of the embedded data set, which no training and no choice has seen.

    Args:
        count: Number of pictures.
        first: Index of the first; reported scores are of the default.
        version: A name in `gseg.scenes.versions.VERSIONS`.

    Raises:
        ValueError: The count or the first index is out of range.
    """

    working_size = 32

    def __init__(
        self, count: int = 1000, first: int = HELD_OUT_FIRST, *, version: str = SCENES.name
    ) -> None:
        if count < 1 or first < 0:
            raise ValueError(
                f"Scenes need a count of at least 1 and a first index of at least 0, got {count} "
                f"and {first}; 'scenes:1000' is the usual benchmark."
            )
        usual = (count, first) == (1000, HELD_OUT_FIRST)
        self.name = version if usual else f"{version}:{count}"
        content = VERSIONS[version].content
        # Scores that are stored are named by these words, the side and the seed among them.
        self.identity = f"{content} first={first} count={count} resolution=32 seed=0"
        self._count, self._first, self._version = count, first, version

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Example:
        """Render an example (with its neighbours, which are usually asked for next)."""
        chunk, row = divmod(_checked(index, self._count), _CHUNK)
        start = self._first + chunk * _CHUNK
        stop = min(start + _CHUNK, self._first + self._count)
        scenes = _render(start, stop, self._version)
        name = str(self._first + index)
        return Example(id=name, picture=scenes.pictures[row], mask=scenes.masks[row])

    def content(self, index: int) -> str:
        """Name a scene by its number; see `Benchmark`."""
        return f"{VERSIONS[self._version].content} {self._first + index}"


@lru_cache(maxsize=4)  # the usual benchmark's four chunks are kept for the next segmenter
def _render(start: int, stop: int, version: str) -> Scenes:
    return render(range(start, stop), resolution=ScenesBenchmark.working_size, version=version)


class _FileBenchmark(Benchmark):
    """Pairs of files: what is common to data sets and to folders.

    Args:
        listing: What was found.
        skip_bad: Leave bad files out and list them in `bad`, instead of an error.
    """

    working_size = PAPERS_SIZE
    from_files = True
    mask_scale: float = 1.0
    """Side of a mask over that of its picture."""
    where: str = ""
    """Its folder, and how its files lie there."""
    _older_name: str
    _older_root: Path | None = None
    upright: bool = False
    """Whether EXIF says which side is up; both papers' programs do not ask it."""

    def __init__(self, listing: Listing, *, skip_bad: bool) -> None:
        problems = [self._problem(pair) for pair in listing.pairs]
        self.skip_bad = skip_bad
        self.bad = (*listing.problems, *filter(None, problems))
        judged = zip(listing.pairs, problems, strict=True)
        self.pairs: tuple[Pair, ...] = tuple(pair for pair, problem in judged if not problem)

    def __len__(self) -> int:
        return len(self.pairs)

    def content(self, index: int) -> str:
        """Name a picture by its file's checksum; see `Benchmark`."""
        return self._sums[self.pairs[index].picture]

    @property
    def older_identity(self) -> str:
        """Names and sizes of the files."""
        return f"{self._older_name} {_older_digest(self.pairs, self._older_root)}"

    def _digest(self, progress: _Progress | None) -> str:
        """Name the pairs by their names and what is in their files, which are read once."""
        files = [file for pair in self.pairs for file in _files(pair)]
        self._sums = dict(zip(files, checksums(files, progress), strict=True))
        lines = (f"{pair.id} {self._sums[f]}" for pair in self.pairs for f in _files(pair))
        return _hashed(lines)

    def _check(self, where: str) -> None:
        """Raise what is bad, unless it may be skipped and something is left."""
        if self.pairs and (self.skip_bad or not self.bad):
            return
        advice = "Repair them, or skip them (--skip-bad)." if self.pairs else "None is usable."
        raise ValueError(
            f"{where}: {len(self.bad):,} bad, {len(self):,} good pictures:"
            f"{layouts.first_of(self.bad)}\n{advice}"
        )

    def _problem(self, pair: Pair) -> str:
        """Say what the headers of a pair show; empty if they fit."""
        try:
            picture, *masks = (
                picture_files.picture_size(file, upright=self.upright)
                for file in (pair.picture, *pair.masks)
            )
        except UnreadableImageError as error:
            return str(error)
        # One problem for a pair, however many parts of a face do not fit.
        return next(filter(None, (self._misfit(pair, picture, mask) for mask in masks)), "")

    def _misfit(self, pair: Pair, picture: Sequence[int], mask: Sequence[int]) -> str:
        scale = self.mask_scale
        if [scale * side for side in picture] == list(mask):
            return ""
        expected = "" if scale == 1 else f"; expected {scale:g} times its picture's size"
        return (
            f"{pair.masks[0]} is {mask[1]}x{mask[0]}, its picture {pair.picture.name} "
            f"{picture[1]}x{picture[0]}{expected}"
        )

    def __getitem__(self, index: int) -> Example:
        """Read an example from its files."""
        return self.read(index)[0]

    def read(self, index: int) -> tuple[Example, TrueMask]:
        """Read an example, and give its mask as it was read.

        Raises:
            UnreadableImageError: A file is damaged, or no mask of this kind.
        """
        pair = self.pairs[_checked(index, len(self))]
        picture = self._read_picture(pair.picture)
        truth = self._read_mask(pair)
        return self._example(pair, picture, truth), truth

    @abstractmethod
    def _read_picture(self, path: Path) -> Tensor: ...

    @abstractmethod
    def _read_mask(self, pair: Pair) -> TrueMask: ...

    def _open_masks(self, where: Path) -> Counter[str]:
        """Read a few masks, evenly spread, so that files of another kind are seen at once.

        Returns:
            How many were read in which coding.

        Raises:
            ValueError: A mask cannot be read; or all, not only these few, are empty, or all full.
        """
        count = min(len(self), _OPENED_MASKS)
        few = [number * len(self) // count for number in range(count)]
        read = [self._truth(number) for number in few]
        found = [each for each in read if each]
        mask_files.check_codings((each.coding for each in found), where)
        kinds = set(map(_kind, found))
        # The others are read only while all are empty, or all are full.
        rest = iter(range(len(self)))
        while len(kinds) == 1 and "" not in kinds and (number := next(rest, None)) is not None:
            truth = self._truth(number)
            kinds |= {_kind(truth)} if truth else set()
        if len(kinds) == 1 and "" not in kinds:
            raise ValueError(
                f"{where}: all {len(self):,} masks are {kinds.pop()}; expected foreground and "
                "background: are these the masks, and is their coding what was meant "
                "(docs/benchmarks.md, gseg benchmarks verify)?"
            )
        return Counter(each.coding for each in found)

    def _truth(self, number: int) -> TrueMask | None:
        """Read a mask; None if it is bad, and bad ones may be skipped."""
        try:
            return self._read_mask(self.pairs[number])
        except UnreadableImageError:
            if not self.skip_bad:
                raise
            return None

    def _example(self, pair: Pair, picture: Tensor, truth: TrueMask) -> Example:
        misfit = self._misfit(pair, picture.shape[1:], truth.mask.shape)
        if misfit:
            raise UnreadableImageError(misfit)
        if truth.scored is not None and not truth.scored.any():
            raise UnreadableImageError(f"{pair.masks[0]} is all void: there is nothing to score")
        return Example(
            id=pair.id,
            picture=picture,
            mask=torch.from_numpy(truth.mask),
            scored=None if truth.scored is None else torch.from_numpy(truth.scored),
            coding=truth.coding,
        )


def _kind(truth: TrueMask) -> str:
    """Say whether a mask is empty or full; "" for most masks."""
    scored = truth.mask if truth.scored is None else truth.mask[truth.scored]
    return "all background" if not scored.any() else "all foreground" if scored.all() else ""


class FolderBenchmark(_FileBenchmark):
    """Any folder with `images/` and `masks/`, matched by path below these, without suffix.

    Args:
        path: The folder.
        coding: What the values of masks mean, where they do not say it.
        skip_bad: Leave bad files out and list them in `bad`, instead of an error.
        progress: See `open_benchmark`.

    Raises:
        ValueError: The folder or a subfolder is missing, or a file is bad; the message names it.
    """

    upright = True

    def __init__(
        self,
        path: str | Path,
        *,
        coding: MaskCoding = FROM_FILE,
        skip_bad: bool = False,
        progress: _Progress | None = None,
    ) -> None:
        self.folder = folder = Path(path).expanduser()
        self.where, self._coding, self._seen = str(folder), coding, frozenset[str]()
        parts = {"pictures": _subfolder(folder, "images"), "masks": _subfolder(folder, "masks")}
        lists = [picture_files.list_pictures(part) for part in parts.values()]
        notes = [each.left_out for each in lists if each.others]
        if not any(each.files for each in lists):
            raise ValueError(
                " ".join([f"No pictures in {folder / 'images'} or {folder / 'masks'}.", *notes])
            )
        listing = layouts.pair_lists(parts, *lists)
        super().__init__(listing, skip_bad=skip_bad)
        self._check(str(folder))
        codings = self._open_masks(folder)
        self._seen = frozenset(codings)
        if codings.keys() - {mask_files.BLACK_AND_WHITE}:  # what everybody expects is no news
            told = ", ".join(f"{count} {coding}" for coding, count in codings.most_common())
            notes.append(f"{folder / 'masks'}: read as {told}")
        self.notes = tuple(notes)
        # Two folders of one base name share this name, and differ in their identity alone: copies
        # of the same pictures are the same, whatever their folders are called.
        self.name = f"{'+'.join(['folder', *coding.words])}:{folder.resolve().name}"
        words = " ".join(["folder", f"masks={mask_files.RULES}", *coding.words])
        self.identity = f"{words} {self._digest(progress)}"
        self._older_name, self._older_root = f"folder:{folder.resolve().name}", folder

    def _read_picture(self, path: Path) -> Tensor:
        return picture_files.read_image(path)

    def _read_mask(self, pair: Pair) -> TrueMask:
        truth = mask_files.coded_mask(pair.masks[0], self._coding)
        mask_files.check_codings((truth.coding, *self._seen), pair.masks[0])
        return truth


def _subfolder(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise ValueError(f"No folder {folder}; expected one with images/ and masks/.")
    if (folder / name).is_dir():
        return folder / name
    # The other one of the two stands where it belongs.
    there = {entry.name for entry in folder.iterdir() if entry.is_dir()} - {"images", "masks"}
    near = nearest(name, sorted(there))
    hint = f" ({near}/ is there: rename it)" if near else ""
    raise ValueError(f"{folder} has no subfolder {name}/{hint}; expected images/ and masks/.")


class DataSetBenchmark(_FileBenchmark):
    """The pictures of a published data set that the papers score on.

    Args:
        dataset: Which.
        path: Its folder, or a root folder that holds it.
        options: Of `gseg.scores.specs.OPTIONS`. ``subset``: take what is there, whatever the
            published number; ``threshold``: cut grey masks at half, also those that this data set
            does not have. Both become part of the name, so that no table takes one for the other.
        skip_bad: Leave incomplete and unreadable pairs out and list them in `bad`.
        progress: See `open_benchmark`.

    Raises:
        ValueError: The files are not there or not complete, their number is not the published
            one, or a pair is bad; the message says what was expected and what to do.
    """

    def __init__(
        self,
        dataset: DataSet,
        path: str | Path,
        *,
        options: Sequence[str] = (),
        skip_bad: bool = False,
        progress: _Progress | None = None,
    ) -> None:
        self.dataset, self.crop, self.mask_scale = dataset, dataset.crop, dataset.mask_scale
        self.name = "+".join([dataset.name, *sorted(set(options))])
        self.place = layouts.find_place(dataset, Path(path).expanduser())
        self.where = f"{self.place.folder} ({self.place.layout.name})"
        self._threshold = THRESHOLD in options
        listing = self.place.layout.pairs(self.place.parts)
        # The number before the files: a list of 900 bad pictures is no answer to a half copied set.
        super().__init__(listing, skip_bad=skip_bad)
        if SUBSET not in options:
            self._check_number(len(listing.pairs) + len(listing.problems), listing.incomplete)
        self._check(f"{dataset.title} in {self.place.folder}")
        self._open_masks(self.place.folder)
        self._older_name = f"{self.name} rules={_RULES}"
        self.identity = f"{self._older_name} {self._digest(progress)}"

    def _read_picture(self, path: Path) -> Tensor:
        pixels = torch.from_numpy(picture_files.read_pixels(path, "RGB"))
        return pixels.permute(2, 0, 1).contiguous()

    def _read_mask(self, pair: Pair) -> TrueMask:
        return self.place.layout.read_mask(pair.masks, self._threshold)

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


def _files(pair: Pair) -> tuple[Path, ...]:
    return (pair.picture, *pair.masks)


def _hashed(lines: Iterable[str]) -> str:
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()


def _older_digest(pairs: Iterable[Pair], root: Path | None = None) -> str:
    """Name files by names (below `root`, or with the pair's) and sizes, as older versions did."""
    return _hashed(
        f"{file.relative_to(root) if root else f'{pair.id} {file.name}'} {file.stat().st_size}"
        for pair in pairs
        for file in _files(pair)
    )


class BenchmarkPart(Benchmark):
    """A contiguous share of a benchmark; all shares together are the whole.

    Args:
        whole: The benchmark.
        part: Number of the share, from 0.
        parts: Number of shares.
    """

    def __init__(self, whole: Benchmark, part: int, parts: int) -> None:
        if not 0 <= part < parts:
            raise ValueError(f"Expected a part from 0 to {parts - 1}, got {part}.")
        self._whole = whole
        self._start = len(whole) * part // parts
        self._stop = len(whole) * (part + 1) // parts
        self.name, self.skip_bad = whole.name, whole.skip_bad
        self.identity = f"{whole.identity} part {part} of {parts}"
        self.working_size, self.crop = whole.working_size, whole.crop
        self.from_files = whole.from_files
        self.bad = whole.bad if part == 0 else ()  # told once when the parts are merged
        self.notes = whole.notes

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> Example:
        """Read an example of the whole."""
        return self._whole[self._start + _checked(index, len(self))]


def open_benchmark(
    spec: str,
    *,
    skip_bad: bool = False,
    planned: str = "",
    progress: _Progress | None = None,
) -> Benchmark:
    """Open a benchmark by its name on the command line.

    Args:
        spec: See `gseg.scores.specs`.
        skip_bad: Leave files that are bad out and list them, instead of an error.
        planned: Its identity, if it must be the one that a trial was planned with.
        progress: Called with (files read, files to read) while a set that this machine has not seen
            is read.

    Returns:
        The benchmark, checked.

    Raises:
        ValueError: There is no such benchmark (the nearest is suggested), or it is damaged.
        ChangedInputsError: It is another one than was planned.
    """
    found = _open(spec, skip_bad, progress)
    check_unchanged(f"Benchmark {found.name}", found.identity, planned)
    return found


def _open(spec: str, skip_bad: bool, progress: _Progress | None) -> Benchmark:
    parsed = parse_spec(spec)
    if parsed.kind in VERSIONS:
        return ScenesBenchmark(int(parsed.rest or 1000), version=parsed.kind)
    folder = storage_folder(parsed.rest) if parsed.kind == "folder" else data_set_place(parsed)
    fetch_inputs(folder)
    if parsed.kind == "folder":
        coding = mask_coding(parsed.options)
        return FolderBenchmark(folder, coding=coding, skip_bad=skip_bad, progress=progress)
    dataset = DATA_SETS[parsed.kind]
    return DataSetBenchmark(
        dataset, folder, options=parsed.options, skip_bad=skip_bad, progress=progress
    )
