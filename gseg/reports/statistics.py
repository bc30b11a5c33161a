"""How two measurements of generators go together: correlations, a line, and their confidence.

Intervals and bands are percentiles over bootstrap resamples of the generators (95 %).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_RESAMPLES: Final = 2_000
_BOUNDS: Final = (2.5, 97.5)
_FEWEST: Final = 3
"""Points that a correlation needs."""
_FEWEST_FOR_INTERVALS: Final = 5
_PAIRS_AT_ONCE: Final = 10_000_000

Numbers = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Correlation:
    """Correlations of n points.

    Attributes:
        count: n.
        pearson: Of the values.
        spearman: Of their ranks; equal values share the mean of their ranks.
        pearson_interval: 95 % bootstrap interval; None under five points.
        spearman_interval: The same of the ranks.
    """

    count: int
    pearson: float
    spearman: float
    pearson_interval: Interval | None
    spearman_interval: Interval | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Band:
    """A line through points, and where it lies in 95 % of the resamples.

    Attributes:
        x: (k,) positions.
        line: (k,) least-squares line.
        low: (k,) lower bound.
        high: (k,) upper bound.
    """

    x: Numbers
    line: Numbers
    low: Numbers
    high: Numbers


def correlate(x: Numbers, y: Numbers, *, seed: int = 0) -> Correlation | None:
    """Correlate two measurements.

    Args:
        x: (n,) finite.
        y: (n,) finite.
        seed: Of the resamples.

    Returns:
        The correlations; None under three points, or where all values of one are equal.
    """
    if len(x) < _FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    ranks = _ranks(x[None]), _ranks(y[None])
    values = float(_pearson(x[None], y[None])[0]), float(_pearson(*ranks)[0])
    intervals: tuple[Interval | None, Interval | None] = (None, None)
    if len(x) >= _FEWEST_FOR_INTERVALS:
        picked = _resamples(len(x), seed)
        many_x, many_y = x[picked], y[picked]
        intervals = (
            _interval(_pearson(many_x, many_y)),
            _interval(_pearson(_ranks(many_x), _ranks(many_y))),
        )
    return Correlation(
        count=len(x),
        pearson=values[0],
        spearman=values[1],
        pearson_interval=intervals[0],
        spearman_interval=intervals[1],
    )


def fit_band(x: Numbers, y: Numbers, *, points: int = 40, seed: int = 0) -> Band | None:
    """Fit a line by least squares, and its confidence band.

    Args:
        x: (n,) finite.
        y: (n,) finite.
        points: Positions of the band, evenly from the smallest to the largest x.
        seed: Of the resamples.

    Returns:
        The band; None under five points or where all x are equal.
    """
    if len(x) < _FEWEST_FOR_INTERVALS or np.ptp(x) == 0:
        return None
    grid = np.linspace(x.min(), x.max(), points)
    picked = _resamples(len(x), seed)
    lines = _lines(x[picked], y[picked], grid)
    low, high = np.nanpercentile(lines, _BOUNDS, axis=0)
    return Band(x=grid, line=_lines(x[None], y[None], grid)[0], low=low, high=high)


def _resamples(count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(count, size=(_RESAMPLES, count))


def _pearson(x: Numbers, y: Numbers) -> Numbers:
    """Correlate rows (b, n) pairwise; NaN where one is constant."""
    varies = (np.ptp(x, axis=1) > 0) & (np.ptp(y, axis=1) > 0)
    x = x - x.mean(axis=1, keepdims=True)
    y = y - y.mean(axis=1, keepdims=True)
    norm = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    products = (x * y).sum(axis=1)
    found = np.divide(products, norm, out=np.full(len(x), np.nan), where=varies)
    return np.asarray(np.clip(found, -1, 1))


def _ranks(rows: Numbers) -> Numbers:
    """Rank each row (b, n) from 1; equal values share the mean of their ranks."""
    at_once = max(1, _PAIRS_AT_ONCE // rows.shape[1] ** 2)
    parts = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
    return np.concatenate([_rank_by_pairs(part) for part in parts])


def _rank_by_pairs(rows: Numbers) -> Numbers:
    """Count the smaller values, and half of the other equal ones."""
    left, right = rows[:, :, None], rows[:, None, :]
    smaller, equal = (left > right).sum(axis=2), (left == right).sum(axis=2)
    return np.asarray(smaller + (equal + 1) / 2, dtype=np.float64)


def _lines(x: Numbers, y: Numbers, grid: Numbers) -> Numbers:
    """Fit a line to each row (b, n) and evaluate it on the grid (b, k); NaN where x is constant."""
    mean_x, mean_y = x.mean(axis=1, keepdims=True), y.mean(axis=1, keepdims=True)
    spread = ((x - mean_x) ** 2).sum(axis=1, keepdims=True)
    products = ((x - mean_x) * (y - mean_y)).sum(axis=1, keepdims=True)
    varies = np.ptp(x, axis=1, keepdims=True) > 0
    slope = np.divide(products, spread, out=np.full(spread.shape, np.nan), where=varies)
    return np.asarray(mean_y + slope * (grid[None] - mean_x))


def _interval(values: Numbers) -> Interval | None:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = np.percentile(finite, _BOUNDS)
    return float(low), float(high)
