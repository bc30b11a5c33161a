"""Benchmarks: sets of pictures with true masks that segmenters are scored on."""

import difflib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from torch import Tensor

from gseg.images import UnreadableImageError, read_image, read_mask
from gseg.scenes.pictures import HELD_OUT_FIRST, SCENES_NAME, Scenes, render
from gseg.scores.folders import FolderPairs, list_pairs

PAPERS_SIZE: Final = 128
"""Shorter side at which both papers segment photographs."""

_CHUNK: Final = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A picture with its true mask.

    Attributes:
        id: Its name within the benchmark.
        picture: (3, H, W) uint8.
        mask: (H, W) bool, True is foreground.
    """

    id: str
    picture: Tensor
    mask: Tensor


class Benchmark(Protocol):
    """What a set of labelled pictures offers; reading an example is a function of its number."""

    @property
    def name(self) -> str:
        """Name in tables, such as "scenes" or "folder:weizmann_horse"."""
        ...

    @property
    def identity(self) -> str:
        """Says which pictures these are; goes into the hash of their scores."""
        ...

    @property
    def working_size(self) -> int:
        """Shorter side in pixels at which segmenters see the pictures unless told otherwise."""
        ...

    @property
    def skip_bad(self) -> bool:
        """Whether a file that cannot be read is listed instead of ending the scoring."""
        ...

    @property
    def bad(self) -> tuple[str, ...]:
        """What was left out when the benchmark was opened: one line for each, naming the file."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example:
        """Read an example; raises UnreadableImageError if its files are damaged."""
        ...


class ScenesBenchmark:
    """Held-out pictures of the embedded data set, which no training and no choice has seen.

    Args:
        count: Number of pictures.
        first: Index of the first; reported scores are of the default.
        resolution: Side in pixels.
        seed: Seed of the scenes.

    Raises:
        ValueError: The count or the first index is out of range.
    """

    skip_bad: bool = False
    bad: tuple[str, ...] = ()

    def __init__(
        self,
        count: int = 1000,
        first: int = HELD_OUT_FIRST,
        *,
        resolution: int = 32,
        seed: int = 0,
    ) -> None:
        if count < 1 or first < 0:
            raise ValueError(
                f"Scenes need a count of at least 1 and a first index of at least 0, got {count} "
                f"and {first}; 'scenes:1000' is the usual benchmark."
            )
        self.name = "scenes" if (count, first) == (1000, HELD_OUT_FIRST) else f"scenes:{count}"
        self.identity = (
            f"{SCENES_NAME} first={first} count={count} resolution={resolution} seed={seed}"
        )
        self.working_size = resolution
        self._count, self._first, self._seed = count, first, seed
        self._rendered: tuple[int, Scenes] | None = None

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Example:
        """Render an example (with its neighbours, which are usually asked for next)."""
        chunk, row = divmod(_checked(index, self._count), _CHUNK)
        if self._rendered is None or self._rendered[0] != chunk:
            start = self._first + chunk * _CHUNK
            stop = min(start + _CHUNK, self._first + self._count)
            scenes = render(range(start, stop), seed=self._seed, resolution=self.working_size)
            self._rendered = (chunk, scenes)
        scenes = self._rendered[1]
        name = str(self._first + index)
        return Example(id=name, picture=scenes.pictures[row], mask=scenes.masks[row])


class FolderBenchmark:
    """Any folder with `images/` and `masks/`, matched by file name without suffix.

    On opening, every picture must have a mask and every mask a picture, of equal size; only file
    headers are read. Damage further inside a file shows when the example is read.

    Args:
        path: The folder.
        skip_bad: Leave such files out and list them in `bad`, instead of an error.

    Raises:
        ValueError: The folder or a subfolder is missing, or a file is bad; the message names it.
    """

    working_size: int = PAPERS_SIZE

    def __init__(self, path: str | Path, *, skip_bad: bool = False) -> None:
        self.folder = Path(path).expanduser()
        self.skip_bad = skip_bad
        self._pairs: FolderPairs = list_pairs(self.folder)
        self.bad = tuple(self._pairs.problems)
        if self.bad and not (skip_bad and self._pairs.stems):
            raise ValueError(self._complaint())
        self.name = f"folder:{self.folder.resolve().name}"
        digest = hashlib.blake2b("\n".join(self._pairs.listing).encode(), digest_size=8)
        self.identity = f"{self.name} {digest.hexdigest()}"

    def __len__(self) -> int:
        return len(self._pairs.stems)

    def __getitem__(self, index: int) -> Example:
        """Read an example from its two files."""
        stem = self._pairs.stems[_checked(index, len(self))]
        image, mask_file = self._pairs.images[stem], self._pairs.masks[stem]
        picture, mask = read_image(image), read_mask(mask_file)
        if picture.shape[1:] != mask.shape:
            raise UnreadableImageError(
                f"{image} decodes to {tuple(picture.shape[1:])} pixels, its mask {mask_file} to "
                f"{tuple(mask.shape)}; they must have the same size."
            )
        return Example(id=stem, picture=picture, mask=mask)

    def _complaint(self) -> str:
        shown = "\n  ".join(self.bad[:5])
        more = f"\n  and {len(self.bad) - 5} more" if len(self.bad) > 5 else ""
        good = len(self._pairs.stems)
        advice = "Repair them, or skip them (--skip-bad)." if good else "No picture is usable."
        counts = f"{len(self.bad)} bad, {good} good pictures in {self.folder}"
        return f"{counts}:\n  {shown}{more}\n{advice}"


class BenchmarkPart:
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
        self.working_size = whole.working_size
        self.bad = whole.bad if part == 0 else ()

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> Example:
        """Read an example of the whole."""
        return self._whole[self._start + _checked(index, len(self))]


def open_benchmark(spec: str, *, skip_bad: bool = False) -> Benchmark:
    """Open a benchmark by its name on the command line.

    Args:
        spec: "scenes", "scenes:COUNT" or "folder:PATH".
        skip_bad: For folders, see `FolderBenchmark`.

    Returns:
        The benchmark, checked.

    Raises:
        ValueError: There is no such benchmark (the nearest is suggested), or it is damaged.
    """
    kind, _, rest = spec.partition(":")
    openers: dict[str, Callable[[], Benchmark]] = {
        "scenes": lambda: ScenesBenchmark(_scenes_count(spec, rest)),
        "folder": lambda: FolderBenchmark(_folder_path(spec, rest), skip_bad=skip_bad),
    }
    if kind in openers:
        return openers[kind]()
    near = difflib.get_close_matches(kind, openers, n=1, cutoff=0.5)
    suggestion = f"{near[0]}:{rest}" if near and rest else "".join(near)
    if Path(spec).is_dir():
        suggestion = f"folder:{spec}"
    hint = f"; did you mean {suggestion!r}?" if suggestion else "."
    raise ValueError(
        f"Unknown benchmark {spec!r}{hint} Expected 'scenes', 'scenes:COUNT' or 'folder:PATH', a "
        "folder with images/ and masks/."
    )


def _scenes_count(spec: str, rest: str) -> int:
    if ":" not in spec:
        return 1000
    if not rest.isdecimal() or int(rest) == 0:
        raise ValueError(
            f"Benchmark {spec!r} needs a number of pictures after the colon, such as 'scenes:1000'."
        )
    return int(rest)


def _folder_path(spec: str, rest: str) -> Path:
    if not rest:
        raise ValueError(f"Benchmark {spec!r} needs a path after the colon: 'folder:PATH'.")
    return Path(rest)


def _checked(index: int, count: int) -> int:
    if not 0 <= index < count:
        raise IndexError(f"Example {index} of {count}.")
    return index
