"""Pixel counts at every threshold in one pass, and the scores that follow from them.

Each probability is put into a bin of a fixed grid; sums over the bins give the true and false
positives at all thresholds of all profiles. The bin is first guessed by integer arithmetic and
then corrected by one comparison with the threshold beside it, so that the counts are those of
comparing float32 with float32 at every threshold.

Fβ = (1 + β²) P R / (β² P + R) with β² = 0.3 (Melas-Kyriazi et al. 2022, section 4.2; Voynov et al.
2021, section 4). With TP true positives, S pixels above the threshold and F pixels of foreground,
P = TP / S and R = TP / F give Fβ = (1 + β²) TP / (β² F + S). An empty prediction of an empty mask
has Fβ = 1, as in both programs.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.metrics.profiles import LAST_THRESHOLD, MetricProfile

BETA_SQUARED: Final = 0.3

_TENTHS: Final = round(10 * BETA_SQUARED)
"""β² in tenths, so that Fβ is a ratio of integers."""
_STEPS: Final = 510
"""The grid has a threshold at j / 510: the 255 of the papers are the even ones, 0.5 is j = 255."""
_HALF: Final = _STEPS // 2
_BINS: Final = 1024
"""At least 2 * _STEPS + 3: between thresholds and exactly on one are bins of their own."""
_SLACK: Final = 0.01
"""A guess is too small by at most this: far more than float32 can round on the grid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageScores:
    """Scores of each picture of a batch in one profile.

    Attributes:
        profile: The rules.
        accuracy: (N,) float64 in [0, 1], share of pixels on the right side of 0.5.
        iou: (N,) float64, intersection over union of the foreground at 0.5.
        f_beta: (N,) float64, Fβ at 0.5.
        max_f_beta: (N,) float64, the largest Fβ of each picture over its own thresholds.
        curve: (N, T) float64, Fβ at every threshold of the profile.
        degenerate: (N,) bool, the true mask is all background or all foreground.
    """

    profile: MetricProfile
    accuracy: NDArray[np.float64]
    iou: NDArray[np.float64]
    f_beta: NDArray[np.float64]
    max_f_beta: NDArray[np.float64]
    curve: NDArray[np.float64]
    degenerate: NDArray[np.bool_]


def pixel_histogram(probability: Tensor, mask: Tensor) -> NDArray[np.int64]:
    """Count background and foreground pixels in every bin of the probability, in one pass.

    The pass runs on the tensors' device; only the counts leave it. Bin 2j + 2 starts above
    threshold j of the grid, bin 2j + 1 is threshold j itself.

    Args:
        probability: (N, H, W) floating point in [0, 1]; compared as float32.
        mask: (N, H, W) bool, the truth, on the same device.

    Returns:
        (N, 2, 1024) counts; index 1 of the second axis is foreground.

    Raises:
        ValueError: Shapes differ, the mask is not bool, or a probability is not in [0, 1].
    """
    _check(probability, mask)
    count = probability.shape[0]
    values = probability.to(torch.float32).reshape(-1)
    step = (values * _STEPS).add_(1 - _SLACK).to(torch.int32)
    edge = _THRESHOLDS.to(values.device).index_select(0, step)
    bins = step.mul_(2).add_(values >= edge).add_(values > edge)
    bins.add_(mask.reshape(-1).to(torch.int32), alpha=_BINS)
    if count > 1:
        image = torch.arange(count, dtype=torch.int32, device=bins.device)
        bins.view(count, -1).add_(image[:, None], alpha=2 * _BINS)
    counts = torch.bincount(bins, minlength=count * 2 * _BINS)
    return counts.view(count, 2, _BINS).cpu().numpy()


def score_images(histogram: NDArray[np.int64], profile: MetricProfile) -> ImageScores:
    """Turn pixel counts into the scores of each picture.

    Args:
        histogram: (N, 2, 1024) counts from `pixel_histogram`.
        profile: The rules.

    Returns:
        Scores of the N pictures.
    """
    above = _counts_above(histogram)
    foreground, pixels = above[:, 1, 0], above[:, :, 0].sum(1)
    at_half = 2 * _HALF + (1 if profile.half_inclusive else 2)
    true_positive, false_positive = above[:, 1, at_half], above[:, 0, at_half]
    union = foreground + false_positive
    curve_true, curve_false = _at_thresholds(above, profile)
    curve = _f_beta(curve_true, curve_false, foreground[:, None])
    return ImageScores(
        profile=profile,
        accuracy=1 - (union - true_positive) / pixels,
        iou=_ratio(true_positive, union, profile.empty_union),
        f_beta=_f_beta(true_positive, false_positive, foreground),
        max_f_beta=curve.max(1),
        curve=curve,
        degenerate=(foreground == 0) | (foreground == pixels),
    )


def precision_recall(
    histogram: NDArray[np.int64], profile: MetricProfile
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give precision and recall of each picture at every threshold of a profile.

    Args:
        histogram: (N, 2, 1024) counts from `pixel_histogram`.
        profile: The rules.

    Returns:
        Precision and recall, (N, T) each. Precision of an empty prediction and recall of an empty
        mask are 1.
    """
    above = _counts_above(histogram)
    true_positive, false_positive = _at_thresholds(above, profile)
    precision = _ratio(true_positive, true_positive + false_positive, 1.0)
    recall = _ratio(true_positive, np.broadcast_to(above[:, 1, :1], true_positive.shape), 1.0)
    return precision, recall


def _check(probability: Tensor, mask: Tensor) -> None:
    if probability.ndim != 3 or probability.shape != mask.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"Probabilities {tuple(probability.shape)} and masks {tuple(mask.shape)} of "
            f"{mask.dtype} do not fit: expected (N, H, W) both, masks of torch.bool."
        )
    if probability.numel() == 0:
        raise ValueError(f"Nothing to score in probabilities of shape {tuple(probability.shape)}.")
    low, high = probability.aminmax()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"Probabilities must be in [0, 1], got {low.item():.6g} to {high.item():.6g}; "
            "apply softmax to logits, and look for NaN in the segmenter."
        )


def _threshold_grid() -> Tensor:
    """Give the float32 thresholds j / 510, the even ones as the programs compute them."""
    grid = np.arange(_STEPS + 1) / _STEPS
    grid[: _STEPS - 1 : 2] = np.arange(0, 1, 1 / 255)
    return torch.from_numpy(grid.astype(np.float32))


_THRESHOLDS: Final = _threshold_grid()


def _counts_above(histogram: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the pixels in each bin and all higher ones."""
    return histogram[:, :, ::-1].cumsum(2)[:, :, ::-1]


def _at_thresholds(
    above: NDArray[np.int64], profile: MetricProfile
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pick true and false positives at the thresholds k / 255 of the profile."""
    first, last = 4 * profile.first_threshold + 2, 4 * LAST_THRESHOLD + 2
    chosen = above[:, :, first : last + 1 : 4]
    return chosen[:, 1], chosen[:, 0]


def _f_beta(
    true_positive: NDArray[np.int64],
    false_positive: NDArray[np.int64],
    foreground: NDArray[np.int64],
) -> NDArray[np.float64]:
    whole = _TENTHS * foreground + 10 * (true_positive + false_positive)
    return _ratio((10 + _TENTHS) * true_positive, whole, 1.0)


def _ratio(
    part: NDArray[np.int64], whole: NDArray[np.int64], undefined: float
) -> NDArray[np.float64]:
    """Divide, where 0 / 0 has a value of its own."""
    value = np.full(whole.shape, undefined)
    np.divide(part, whole, out=value, where=whole > 0)
    return value
