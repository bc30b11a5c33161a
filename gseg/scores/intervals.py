"""Confidence intervals of a benchmark's scores: the bootstrap over its pictures.

Percentile intervals (Efron 1979): the pictures are drawn with replacement, as many as there are,
and the aggregate is taken again, its maximum over thresholds included. They say how much a score
would move with another choice of pictures of the same kind, not with another training.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gseg.metrics.profiles import ProfileName
from gseg.scores.protocol import Scores

RESAMPLES: Final = 1000
CONFIDENCE: Final = 0.95
SEED: Final = 0
INTERVALS: Final = ("accuracy", "iou", "f_beta", "max_f_beta", "mae")
"""Scores that have an interval."""

_BLOCK: Final = 50
"""Resamples at a time, which bounds the memory."""


def bootstrap_intervals(
    scores: Scores, *, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[ProfileName, dict[str, tuple[float, float]]]:
    """Give the limits within which 95 % of the resampled scores lie.

    Args:
        scores: Of a whole benchmark, at least one picture.
        resamples: How often the pictures are drawn.
        seed: Of the draws; every profile and score sees the same.

    Returns:
        By name of profile and of score: the lower and the upper limit. NaN for an IoU that the
        profile leaves undefined.

    Raises:
        ValueError: There is no picture, or no resample.
    """
    count = len(scores.table) // max(len(scores.curves), 1)
    if count < 1 or resamples < 1:
        raise ValueError(
            f"Intervals need pictures and resamples, got {count} and {resamples}; score a "
            "benchmark first."
        )
    rng = np.random.default_rng(seed)
    values = {name: _values(scores, name) for name in scores.curves}
    drawn: dict[ProfileName, list[NDArray[np.float64]]] = {name: [] for name in values}
    for start in range(0, resamples, _BLOCK):
        weights = _weights(rng, min(_BLOCK, resamples - start), count)
        for name, (singles, curve) in values.items():
            means = weights @ singles
            top = (weights @ curve).max(1)
            drawn[name].append(np.column_stack([means[:, :3], top, means[:, 3:]]))
    tail = (1 - CONFIDENCE) / 2
    limits = {
        name: np.quantile(np.concatenate(parts), [tail, 1 - tail], axis=0)
        for name, parts in drawn.items()
    }
    return {
        name: {
            score: (float(low), float(high))
            for score, low, high in zip(INTERVALS, *limits[name], strict=True)
        }
        for name in limits
    }


def _values(scores: Scores, name: ProfileName) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give accuracy, IoU, Fβ and error of each picture, and its curve."""
    table = scores.table[scores.table.profile == name]
    singles = table[[score for score in INTERVALS if score != "max_f_beta"]].to_numpy(np.float64)
    return singles, scores.curves[name].astype(np.float64)


def _weights(rng: np.random.Generator, resamples: int, count: int) -> NDArray[np.float64]:
    """Draw how often each picture counts, divided by their number: (resamples, count)."""
    chosen = rng.integers(0, count, (resamples, count))
    chosen += np.arange(resamples)[:, None] * count
    hits = np.bincount(chosen.reshape(-1), minlength=resamples * count)
    return hits.reshape(resamples, count) / count
