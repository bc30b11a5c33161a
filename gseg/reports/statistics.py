"""How two measurements of generators go together: correlations, a line, and their confidence.

Intervals and bands are percentiles over bootstrap resamples of the generators (95 %).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

_RESAMPLES: Final = 2_000
_BOUNDS: Final = (2.5, 97.5)
# Points that a correlation needs.
_FEWEST: Final = 3
# Of fewer points, many resamples are but one or two of them.
_FEWEST_FOR_INTERVALS: Final = 5

Numbers = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Correlation:
    """Correlations of n points.

    Attributes:
        count: n.
        pearson: Of the values.
        pearson_interval: 95 % bootstrap interval; None under five points.
        spearman: Of their ranks; equal values share the mean of their ranks.
        spearman_interval: The same of the ranks.
    """

    count: int
    pearson: float
    pearson_interval: Interval | None
    spearman: float
    spearman_interval: Interval | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Band:
    """A least-squares line at k positions, and between what it lies in 95 % of the resamples."""

    x: Numbers
    line: Numbers
    low: Numbers
    high: Numbers


def correlate(x: Numbers, y: Numbers) -> Correlation | None:
    """Correlate two measurements.

    Args:
        x: (n,) finite.
        y: (n,) finite.

    Returns:
        The correlations; None under three points, or where all values of one are equal.
    """
    if len(x) < _FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    picked = _resamples(len(x))
    values = (x, y, x[picked], y[picked])
    # A resample has ties of its own: it is ranked anew.
    ranks = (rankdata(each, axis=-1) for each in values)
    return Correlation(len(x), *_with_interval(*values), *_with_interval(*ranks))


def fit_band(x: Numbers, y: Numbers, *, points: int = 40) -> Band | None:
    """Fit a line by least squares, and its confidence band.

    Args:
        x: (n,) finite.
        y: (n,) finite.
        points: Positions of the band, evenly from the smallest to the largest x.

    Returns:
        The band; None under five points or where all x are equal.
    """
    if len(x) < _FEWEST_FOR_INTERVALS or np.ptp(x) == 0:
        return None
    grid = np.linspace(x.min(), x.max(), points)
    picked = _resamples(len(x))
    low, high = np.percentile(_lines(x[picked], y[picked], grid), _BOUNDS, axis=0)
    return Band(x=grid, line=_lines(x[None], y[None], grid)[0], low=low, high=high)


def _resamples(count: int) -> NDArray[np.int64]:
    # Always the same ones: a report of the same rows has the same bytes.
    return np.random.default_rng(0).integers(count, size=(_RESAMPLES, count))


def _with_interval(
    x: Numbers, y: Numbers, many_x: Numbers, many_y: Numbers
) -> tuple[float, Interval | None]:
    """Correlate points, and the rows of their resamples for an interval."""
    value = float(_pearson(x[None], y[None])[0])
    resampled = _pearson(many_x, many_y)
    if len(x) < _FEWEST_FOR_INTERVALS or not len(resampled):
        return value, None
    low, high = np.percentile(resampled, _BOUNDS).tolist()
    return value, (low, high)


def _centred(rows: Numbers) -> Numbers:
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))


def _pearson(x: Numbers, y: Numbers) -> Numbers:
    """Correlate rows (b, n) pairwise; those where one is constant are left out."""
    # By the extent, not by a zero norm: the mean of equal numbers may be off in the last bit.
    varies = (np.ptp(x, axis=1) > 0) & (np.ptp(y, axis=1) > 0)
    x, y = _centred(x[varies]), _centred(y[varies])
    norm = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.asarray(np.clip((x * y).sum(axis=1) / norm, -1, 1))


def _lines(x: Numbers, y: Numbers, grid: Numbers) -> Numbers:
    """Fit a line to each row (b, n) whose x varies, and evaluate it on the grid: (<= b, k)."""
    varies = np.ptp(x, axis=1) > 0
    x, y = x[varies], y[varies]
    # Not np.polyfit, which fits many y over one x: here every row has its own.
    slope = (_centred(x) * _centred(y)).sum(axis=1) / (_centred(x) ** 2).sum(axis=1)
    return np.asarray(y.mean(axis=1)[:, None] + slope[:, None] * (grid - x.mean(axis=1)[:, None]))
