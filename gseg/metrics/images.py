"""Scores of single pictures.

Fβ = (1 + β²) P R / (β² P + R) with β² = 0.3 (Melas-Kyriazi et al. 2022, section 4.2; Voynov et al.
2021, section 4). With TP true positives, S pixels above the threshold and F pixels of foreground,
P = TP / S and R = TP / F give Fβ = (1 + β²) TP / (β² F + S). An empty prediction of an empty mask
has Fβ = 1 in both programs, 0 in the toolbox of salient object detection.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gseg.metrics.confusion import Confusion, count_pixels
from gseg.metrics.counts import PixelHistogram
from gseg.metrics.profiles import MetricProfile

BETA_SQUARED: Final = 0.3

_TENTHS: Final = round(10 * BETA_SQUARED)
"""β² in tenths, so that Fβ is a ratio of integers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageScores:
    """Scores of each picture of a batch in one profile.

    Attributes:
        profile: The rules.
        accuracy: (N,) float64 in [0, 1], share of pixels on the right side of 0.5.
        iou: (N,) float64, intersection over union of the foreground at 0.5.
        f_beta: (N,) float64, Fβ at 0.5.
        max_f_beta: (N,) float64, the largest Fβ of each picture over its own thresholds.
        mae: (N,) float64 in [0, 1], mean of |probability - truth|.
        curve: (N, T) float64, Fβ at every threshold of the profile.
        precision: (N, T) float64, precision at every threshold.
        recall: (N, T) float64, recall at every threshold.
        degenerate: (N,) bool, the true mask is all background or all foreground.
    """

    profile: MetricProfile
    accuracy: NDArray[np.float64]
    iou: NDArray[np.float64]
    f_beta: NDArray[np.float64]
    max_f_beta: NDArray[np.float64]
    mae: NDArray[np.float64]
    curve: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    degenerate: NDArray[np.bool_]


def score_images(histogram: PixelHistogram, profile: MetricProfile) -> ImageScores:
    """Turn pixel counts into the scores of each picture.

    Args:
        histogram: Of N pictures, from `pixel_histogram`.
        profile: The rules.

    Returns:
        Scores of the N pictures.
    """
    counts = count_pixels(histogram, profile)
    union = counts.foreground + counts.half_false
    precision, recall, curve = _curves(counts, profile.empty_score)
    return ImageScores(
        profile=profile,
        accuracy=1 - (union - counts.half_true) / counts.pixels,
        iou=_ratio(counts.half_true, union, profile.empty_union),
        f_beta=_f_beta(
            counts.half_true,
            counts.half_true + counts.half_false,
            counts.foreground,
            profile.empty_score,
        ),
        max_f_beta=curve.max(1),
        mae=counts.error,
        curve=curve,
        precision=precision,
        recall=recall,
        degenerate=(counts.foreground == 0) | (counts.foreground == counts.pixels),
    )


def _curves(
    counts: Confusion, empty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Give precision, recall and Fβ at every threshold."""
    hits = counts.curve_true
    found = hits + counts.curve_false
    foreground = counts.foreground[:, None]
    return (
        _ratio(hits, found, empty),
        _ratio(hits, np.broadcast_to(foreground, hits.shape), empty),
        _f_beta(hits, found, foreground, empty),
    )


def _f_beta(
    hits: NDArray[np.int64],
    found: NDArray[np.int64],
    foreground: NDArray[np.int64],
    empty: float,
) -> NDArray[np.float64]:
    return _ratio((10 + _TENTHS) * hits, _TENTHS * foreground + 10 * found, empty)


def _ratio(
    part: NDArray[np.int64], whole: NDArray[np.int64], undefined: float
) -> NDArray[np.float64]:
    """Divide, where 0 / 0 has a value of its own."""
    value = np.full(whole.shape, undefined)
    np.divide(part, whole, out=value, where=whole > 0)
    return value
