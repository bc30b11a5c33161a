"""Check a whole data set: read every picture and every mask."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from gseg.images import UnreadableImageError
from gseg.scores.datasets.reader import DataSetBenchmark

_READERS: Final = 8
_AHEAD: Final = 64
"""Pictures whose results are waited for at a time, which bounds the memory."""


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
    """

    pictures: int
    problems: tuple[str, ...]
    empty: int
    full: int
    grey: int
    foreground: float


@dataclass(frozen=True, slots=True)
class _Finding:
    problem: str = ""
    share: float = 0.0
    grey: bool = False


def verify(
    benchmark: DataSetBenchmark, progress: Callable[[int, int], None] | None = None
) -> Verification:
    """Read every file of a data set.

    Args:
        benchmark: The data set, opened.
        progress: Called with (pictures done, pictures in all).

    Returns:
        What was found; problems of the opening included.
    """
    findings: list[_Finding] = []
    total = len(benchmark)
    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as readers:
        for start in range(0, total, _AHEAD):
            block = range(start, min(start + _AHEAD, total))
            findings += readers.map(lambda index: _check(benchmark, index), block)
            if progress is not None:
                progress(len(findings), total)
    good = [finding for finding in findings if not finding.problem]
    return Verification(
        pictures=len(good),
        problems=(*benchmark.bad, *(each.problem for each in findings if each.problem)),
        empty=sum(finding.share == 0 for finding in good),
        full=sum(finding.share == 1 for finding in good),
        grey=sum(finding.grey for finding in good),
        foreground=sum(finding.share for finding in good) / max(len(good), 1),
    )


def _check(benchmark: DataSetBenchmark, index: int) -> _Finding:
    try:
        example, grey = benchmark.read(index)
    except UnreadableImageError as error:
        return _Finding(problem=str(error))
    return _Finding(share=float(example.mask.float().mean()), grey=grey > 0)
