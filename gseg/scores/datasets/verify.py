"""Check a whole set of files: read every picture and every mask."""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from gseg.mask_files import TrueMask, check_codings
from gseg.picture_files import UnreadableImageError
from gseg.scores.benchmarks import DataSetBenchmark, FolderBenchmark

_READERS: Final = 8
# Pictures whose results are waited for at a time, which bounds the memory.
_AHEAD: Final = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What a check of all files found.

    Attributes:
        pictures: Pictures in good order.
        problems: One line for each that is not.
        empty: Masks without foreground.
        full: Masks without background.
        grey: Masks with grey pixels, which were cut at half.
        foreground: Mean share of foreground of the good masks.
        codings: How many masks of a user's were read in which coding.
    """

    pictures: int
    problems: tuple[str, ...]
    empty: int
    full: int
    grey: int
    foreground: float
    codings: Counter[str]


def verify(
    benchmark: DataSetBenchmark | FolderBenchmark,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Read every file of a data set or of a folder of one's own.

    Args:
        benchmark: The set, opened.
        progress: Called with (pictures done, pictures in all).

    Returns:
        What was found; problems of the opening included.
    """
    problems, shares, grey = list(benchmark.bad), [], 0
    codings: Counter[str] = Counter()
    total = len(benchmark)

    def check(index: int) -> tuple[float, TrueMask] | str:
        try:
            example, truth = benchmark.read(index)
        except UnreadableImageError as error:
            return str(error)
        counted = example.mask if example.scored is None else example.mask[example.scored]
        return float(counted.float().mean()), truth

    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as readers:
        for start in range(0, total, _AHEAD):
            block = range(start, min(start + _AHEAD, total))
            for found in readers.map(check, block):
                if isinstance(found, str):
                    problems.append(found)
                else:
                    shares.append(found[0])
                    grey += found[1].grey > 0
                    codings.update([found[1].coding] if found[1].coding else [])
            if progress is not None:
                progress(block.stop, total)
    try:
        check_codings(codings, benchmark.name)
    except UnreadableImageError as error:
        problems.append(str(error))
    return Verification(
        pictures=len(shares),
        problems=tuple(problems),
        empty=shares.count(0),
        full=shares.count(1),
        grey=grey,
        foreground=sum(shares) / max(len(shares), 1),
        codings=codings,
    )
