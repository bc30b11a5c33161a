"""Benchmarks: sets of pictures with true masks that segmenters are scored on.

`open_benchmark` opens any of them by its specification: held-out scenes, a published data set
(`gseg.scores.datasets`), or a folder of one's own.
"""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Final

from gseg.images import UnreadableImageError, read_image, read_mask
from gseg.scenes.pictures import HELD_OUT_FIRST, SCENES_NAME, Scenes, render
from gseg.scores.contract import Benchmark, Example, checked_index
from gseg.scores.datasets.catalogue import DATA_SETS
from gseg.scores.datasets.reader import PAPERS_SIZE, DataSetBenchmark
from gseg.scores.folders import FolderPairs, list_pairs
from gseg.scores.specs import Specification, parse_spec, place_of
from gseg.storage.inputs import fetch_inputs
from gseg.storage.mirror import storage_folder

__all__ = [
    "PAPERS_SIZE",
    "Benchmark",
    "BenchmarkPart",
    "Example",
    "FolderBenchmark",
    "ScenesBenchmark",
    "open_benchmark",
]

_CHUNK: Final = 250


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

    crop: bool = False
    skip_bad: bool = False
    from_files: bool = False
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

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Example:
        """Render an example (with its neighbours, which are usually asked for next)."""
        chunk, row = divmod(checked_index(index, self._count), _CHUNK)
        start = self._first + chunk * _CHUNK
        stop = min(start + _CHUNK, self._first + self._count)
        scenes = _render(start, stop, self._seed, self.working_size)
        name = str(self._first + index)
        return Example(id=name, picture=scenes.pictures[row], mask=scenes.masks[row])


@lru_cache(maxsize=4)
def _render(start: int, stop: int, seed: int, resolution: int) -> Scenes:
    """Render a chunk; the usual benchmark's four are kept for the next segmenter."""
    return render(range(start, stop), seed=seed, resolution=resolution)


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
    crop: bool = False
    from_files: bool = True

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
        stem = self._pairs.stems[checked_index(index, len(self))]
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
        self.working_size, self.crop = whole.working_size, whole.crop
        self.from_files = whole.from_files
        self.bad = whole.bad if part == 0 else ()

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, index: int) -> Example:
        """Read an example of the whole."""
        return self._whole[self._start + checked_index(index, len(self))]


def open_benchmark(spec: str, *, skip_bad: bool = False) -> Benchmark:
    """Open a benchmark by its name on the command line.

    Args:
        spec: "scenes", "scenes:COUNT", "folder:PATH", or a published data set: "cub:PATH", or
            "cub" alone, which is looked for in the folder that the environment variable
            ``GSEG_BENCHMARKS`` names; "+subset" and "+threshold" may follow the name, see
            `DataSetBenchmark`.
        skip_bad: Leave files that are bad out and list them, instead of an error.

    Returns:
        The benchmark, checked.

    Raises:
        ValueError: There is no such benchmark (the nearest is suggested), or it is damaged.
    """
    parsed: Specification = parse_spec(spec)
    if parsed.kind == "scenes":
        return ScenesBenchmark(int(parsed.rest or 1000))
    if parsed.kind == "folder":
        return FolderBenchmark(_brought(storage_folder(parsed.rest)), skip_bad=skip_bad)
    return DataSetBenchmark(
        DATA_SETS[parsed.kind],
        _brought(place_of(parsed)),
        options=parsed.options,
        skip_bad=skip_bad,
    )


def _brought(folder: Path) -> Path:
    """Fetch a folder of an object store to this machine."""
    fetch_inputs(folder)
    return folder
