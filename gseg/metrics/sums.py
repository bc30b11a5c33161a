"""Scores of pictures, and sums of them that merge: any split over workers gives the same numbers.

Fβ = (1 + β²) P R / (β² P + R) with β² = 0.3 (Melas-Kyriazi et al. 2022, section 4.2; Voynov et al.
2021, section 4). With TP true positives, S pixels above the threshold and F pixels of foreground,
P = TP / S and R = TP / F give Fβ = (1 + β²) TP / (β² F + S). An empty prediction of an empty mask
has Fβ = 1 in both programs, 0 in the toolbox of salient object detection.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from gseg.metrics.counts import ERROR_UNIT, STEPS, PixelHistogram
from gseg.metrics.profiles import MetricProfile, ProfileName

BETA_SQUARED: Final = 0.3

# β² in tenths, so that Fβ is a ratio of integers.
_TENTHS: Final = round(10 * BETA_SQUARED)
_BYTES: Final = 256
# Scores are summed as multiples of 2**-40: integers, so that no order of adding changes a bit.
_FIXED_POINT: Final = 2**40
_SUMMED: Final = ("accuracy", "iou", "f_beta", "mae", "curve", "precision", "recall")

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageScores:
    """Scores of each picture of a batch in one profile.

    Attributes:
        accuracy: (N,) in [0, 1], share of pixels on the right side of 0.5.
        iou: (N,), intersection over union of the foreground at 0.5.
        f_beta: (N,), Fβ at 0.5.
        max_f_beta: (N,), the largest Fβ of each picture over its own thresholds.
        mae: (N,) in [0, 1], mean of |probability - truth|.
        curve: (N, T), Fβ at every threshold of the profile.
        precision: (N, T), precision at every threshold.
        recall: (N, T), recall at every threshold.
        degenerate: (N,), the true mask is all background or all foreground.
    """

    accuracy: _Floats
    iou: _Floats
    f_beta: _Floats
    max_f_beta: _Floats
    mae: _Floats
    curve: _Floats
    precision: _Floats
    recall: _Floats
    degenerate: NDArray[np.bool_]


def score_images(histogram: PixelHistogram, profile: MetricProfile) -> ImageScores:
    """Turn the pixel counts of N pictures into the scores of each by a profile's rules."""
    half, above, error = (_stretched if profile.stretched else _plain)(histogram, profile)
    (false, true), hits, found = half.T, above[:, 1], above.sum(1)
    totals = histogram.counts.sum(2)
    pixels, foreground, empty = totals.sum(1), totals[:, 1], profile.empty_score
    union = foreground + false
    curve = _f_beta(hits, found, foreground[:, None], empty)
    return ImageScores(
        accuracy=1 - (union - true) / pixels,
        iou=_ratio(true, union, profile.empty_union),
        f_beta=_f_beta(true, true + false, foreground, empty),
        max_f_beta=curve.max(1),
        mae=error / pixels,
        curve=curve,
        precision=_ratio(hits, found, empty),
        recall=_ratio(hits, foreground[:, None], empty),
        degenerate=(foreground == 0) | (foreground == pixels),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """Scores of a benchmark in one profile: means over its pictures.

    Attributes:
        profile: Name of the profile.
        accuracy: Mean accuracy.
        iou: Mean IoU; NaN when the profile leaves the IoU of any picture undefined.
        f_beta: Mean Fβ at 0.5.
        max_f_beta: Largest value of the mean Fβ curve (not the mean of the largest values).
        mean_f_beta: Mean of the mean Fβ curve over the thresholds.
        mae: Mean absolute error of the probabilities.
        images: Number of pictures.
        degenerate_masks: Pictures whose true mask is all background or all foreground.
        undefined_iou: Pictures without a defined IoU.
    """

    profile: ProfileName
    accuracy: float
    iou: float
    f_beta: float
    max_f_beta: float
    mean_f_beta: float
    mae: float
    images: int
    degenerate_masks: int
    undefined_iou: int


def area_under_curve(values: _Floats, masks: NDArray[np.bool_]) -> _Floats:
    """Measure how well values order the pixels of a picture, whatever threshold would be taken.

    The area under the ROC curve is the probability that a pixel of the foreground has a larger
    value than one of the background; equal values count half (Mann and Whitney 1947).

    Args:
        values: (N, H, W).
        masks: (N, H, W), True is foreground.

    Returns:
        (N,), 1 at best and .5 by chance; NaN where a picture is all foreground or all background.
    """
    if not masks.size:
        return np.full(len(masks), np.nan)
    flat = masks.reshape(len(masks), -1)
    ranks = rankdata(values.reshape(len(values), -1), axis=1)
    inside = flat.sum(1)
    pairs = (inside * (flat.shape[1] - inside)).astype(np.float64)
    wins = (ranks * flat).sum(1) - inside * (inside + 1) / 2
    area: _Floats = np.divide(wins, pairs, out=np.full(len(flat), np.nan), where=pairs > 0)
    return area


def _nothing() -> _Ints:
    return np.zeros((), np.int64)


@dataclass(kw_only=True, slots=True)
class MetricSums:
    """Running sums of one profile over pictures; parts merge into the whole bit for bit.

    Example:
        >>> sums = MetricSums(profile=metric_profile("voynov2021"))
        >>> per_image = sums.update(pixel_histogram(probability, mask))
        >>> sums.merge(sums_of_another_worker)
        >>> sums.compute().max_f_beta
    """

    profile: MetricProfile
    images: int = 0
    degenerate_masks: int = 0
    undefined_iou: int = 0
    # Python's integers: their ratios are rounded once, numpy's twice beyond 8,192 pictures.
    accuracy: int = 0
    iou: int = 0
    f_beta: int = 0
    mae: int = 0
    # (T,) once there is a picture.
    curve: _Ints = field(default_factory=_nothing)
    precision: _Ints = field(default_factory=_nothing)
    recall: _Ints = field(default_factory=_nothing)

    def update(self, histogram: PixelHistogram) -> ImageScores:
        """Add the pictures of a batch; give the scores of each."""
        scores = score_images(histogram, self.profile)
        self.images += len(histogram)
        self.degenerate_masks += int(np.count_nonzero(scores.degenerate))
        self.undefined_iou += int(np.count_nonzero(np.isnan(scores.iou)))
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + _fixed_sum(getattr(scores, name)))
        return scores

    def merge(self, other: "MetricSums") -> None:
        """Add the sums of other pictures, which are left as they are.

        Raises:
            ValueError: The profiles differ.
        """
        if other.profile.name != self.profile.name:
            raise ValueError(
                f"Sums of {other.profile.name!r} cannot be added to sums of "
                f"{self.profile.name!r}; merge like with like."
            )
        for each in fields(self)[1:]:
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def compute(self) -> Aggregate:
        """Give the means over all pictures so far.

        Raises:
            ValueError: There was no picture.
        """
        whole = self._whole()
        return Aggregate(
            profile=self.profile.name,
            accuracy=self.accuracy / whole,
            iou=math.nan if self.undefined_iou else self.iou / whole,
            f_beta=self.f_beta / whole,
            max_f_beta=int(self.curve.max()) / whole,
            mean_f_beta=int(self.curve.sum()) / (whole * self.curve.size),
            mae=self.mae / whole,
            images=self.images,
            degenerate_masks=self.degenerate_masks,
            undefined_iou=self.undefined_iou,
        )

    def curves(self) -> pd.DataFrame:
        """Give the precision-recall curve, and Fβ beside it.

        Returns:
            A row for each threshold of the profile, from low to high: ``profile``, ``threshold``,
            ``precision``, ``recall``, ``f_beta``, means over the pictures so far.

        Raises:
            ValueError: There was no picture.
        """
        whole = self._whole()
        return pd.DataFrame(
            {
                "profile": self.profile.name,
                "threshold": self.profile.thresholds,
                "precision": self.precision / whole,
                "recall": self.recall / whole,
                "f_beta": self.curve / whole,
            }
        )

    def _whole(self) -> int:
        if self.images == 0:
            raise ValueError("No picture was scored; update the sums before computing means.")
        return self.images * _FIXED_POINT


def merge_sums(parts: Sequence[MetricSums]) -> MetricSums:
    """Add sums of one profile that were made apart: at least one, all left as they are."""
    whole = MetricSums(profile=parts[0].profile)
    for part in parts:
        whole.merge(part)
    return whole


def _plain(histogram: PixelHistogram, profile: MetricProfile) -> tuple[_Ints, _Ints, _Floats]:
    """Compare the probabilities themselves.

    Gives the false and true positives at 0.5 (N, 2) and at the profile's thresholds (N, 2, T), and
    (N,) sums of |probability - truth|.
    """
    above = _counts_above(histogram.counts)
    half = above[:, :, STEPS + (1 if profile.half_inclusive else 2)]
    first = 4 * profile.first_threshold + 2  # the bin above an even step of the grid
    curve = above[:, :, first : first + 4 * len(profile.thresholds) : 4]
    return half, curve, histogram.error / ERROR_UNIT


def _stretched(histogram: PixelHistogram, _: MetricProfile) -> tuple[_Ints, _Ints, _Floats]:
    """Round to bytes and stretch each map to [0, 1], then compare; see `_plain`."""
    # Which byte a pixel has, and where stretching takes that byte, follow from the bins: no second
    # pass over the pixels. Byte q reaches from threshold 2q - 1 of the grid, inclusive, to
    # threshold 2q + 1: four bins from 4q - 1 on.
    counts = histogram.counts
    levels = counts[:, :, 0::4] + counts[:, :, 1::4] + counts[:, :, 2::4]
    levels[:, :, 1:] += counts[:, :, 3:-1:4]
    values = _stretch(levels.sum(1))
    half = (levels * (values > 0.5)[:, None]).sum(2)
    error = np.einsum("nl,nl->n", levels[:, 0], values)
    error += np.einsum("nl,nl->n", levels[:, 1], 1 - values)
    return half, _counts_above(_move(levels, values)), error


def _stretch(levels: _Ints) -> _Floats:
    """Say where each byte of each picture goes: (N, 256), in the toolbox's own arithmetic."""
    there = levels > 0
    lowest = there.argmax(1)[:, None] / 255
    highest = (_BYTES - 1 - there[:, ::-1].argmax(1))[:, None] / 255
    values = np.broadcast_to(np.arange(_BYTES) / 255, levels.shape)
    flat = highest == lowest
    span = np.where(flat, 1.0, highest - lowest)
    return np.where(flat, values, (values - lowest) / span)


def _move(levels: _Ints, values: _Floats) -> _Ints:
    """Count the pixels at each stretched byte; those that no pixel has do not matter."""
    target = (values * 255).clip(0, 255).astype(np.int64)
    pictures, kinds = np.ogrid[: len(levels), :2]
    moved = np.zeros_like(levels)
    np.add.at(moved, (pictures[..., None], kinds[..., None], target[:, None]), levels)
    return moved


def _counts_above(counts: _Ints) -> _Ints:
    """Count the pixels in each bin and all higher ones."""
    return counts[:, :, ::-1].cumsum(2)[:, :, ::-1]


def _f_beta(hits: _Ints, found: _Ints, foreground: _Ints, empty: float) -> _Floats:
    return _ratio((10 + _TENTHS) * hits, _TENTHS * foreground + 10 * found, empty)


def _ratio(part: _Ints, whole: _Ints, undefined: float) -> _Floats:
    """Divide, where 0 / 0 has a value of its own."""
    value = np.full(np.broadcast_shapes(part.shape, whole.shape), undefined)
    np.divide(part, whole, out=value, where=whole > 0)
    return value


def _fixed_sum(scores: _Floats) -> int | _Ints:
    """Add up (N,) or (N, T) exactly; what is undefined adds nothing."""
    fixed = np.rint(np.nan_to_num(scores) * _FIXED_POINT).astype(np.int64).sum(0)
    return fixed if fixed.ndim else int(fixed)
