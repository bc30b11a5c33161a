"""Sums of scores over pictures that merge: any split over workers gives the same numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gseg.metrics.counts import PixelHistogram
from gseg.metrics.images import ImageScores, score_images
from gseg.metrics.profiles import MetricProfile, ProfileName

_FIXED_POINT: Final = 2**40
"""Scores are summed as multiples of 2**-40: integers, so that no order of adding changes a bit."""
_CURVES: Final = ("curve", "precision", "recall")
_NUMBERS: Final = ("accuracy", "f_beta", "mae")
_COUNTS: Final = ("images", "degenerate_masks", "undefined_iou", "iou")


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
    accuracy: int = 0
    iou: int = 0
    f_beta: int = 0
    mae: int = 0
    curve: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    precision: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    recall: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        for name in _CURVES:
            if getattr(self, name).size == 0:
                setattr(self, name, np.zeros(len(self.profile.thresholds), np.int64))

    def update(self, histogram: PixelHistogram) -> ImageScores:
        """Add the pictures of a batch.

        Args:
            histogram: Of N pictures, from `pixel_histogram`.

        Returns:
            The scores of each picture.
        """
        scores = score_images(histogram, self.profile)
        undefined = np.isnan(scores.iou)
        self.images += len(histogram)
        self.degenerate_masks += int(np.count_nonzero(scores.degenerate))
        self.undefined_iou += int(np.count_nonzero(undefined))
        self.iou += int(_fixed_sum(scores.iou[~undefined]))
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + int(_fixed_sum(getattr(scores, name))))
        for name in _CURVES:
            setattr(self, name, getattr(self, name) + _fixed_sum(getattr(scores, name)))
        return scores

    def merge(self, other: "MetricSums") -> None:
        """Add the sums of other pictures in the same profile.

        Args:
            other: Left as it is.

        Raises:
            ValueError: The profiles differ.
        """
        if other.profile.name != self.profile.name:
            raise ValueError(
                f"Sums of {other.profile.name!r} cannot be added to sums of "
                f"{self.profile.name!r}; merge like with like."
            )
        for name in (*_COUNTS, *_NUMBERS, *_CURVES):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def compute(self) -> Aggregate:
        """Give the means.

        Returns:
            The scores over all pictures so far.

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
    """Add sums of one profile that were made apart.

    Args:
        parts: At least one; left as they are.

    Returns:
        The sums over all pictures.
    """
    whole = MetricSums(profile=parts[0].profile)
    for part in parts:
        whole.merge(part)
    return whole


def _fixed_sum(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    fixed = np.rint(scores * _FIXED_POINT).astype(np.int64)
    return np.asarray(fixed.sum(0))
