"""Sums of scores over pictures that merge: any split over workers gives the same numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gseg.metrics.counts import ImageScores, score_images
from gseg.metrics.profiles import LAST_THRESHOLD, MetricProfile, ProfileName

_FIXED_POINT: Final = 2**40
"""Scores are summed as multiples of 2**-40: integers, so that no order of adding changes a bit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregate:
    """Scores of a benchmark in one profile: means over its pictures.

    Attributes:
        profile: Name of the profile.
        accuracy: Mean accuracy.
        iou: Mean IoU; NaN when the profile leaves the IoU of any picture undefined.
        f_beta: Mean Fβ at 0.5.
        max_f_beta: Largest value of the mean Fβ curve (not the mean of the largest values).
        images: Number of pictures.
        degenerate_masks: Pictures whose true mask is all background or all foreground.
        undefined_iou: Pictures without a defined IoU.
    """

    profile: ProfileName
    accuracy: float
    iou: float
    f_beta: float
    max_f_beta: float
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
    curve: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if self.curve.size == 0:
            self.curve = np.zeros(LAST_THRESHOLD + 1 - self.profile.first_threshold, np.int64)

    def update(self, histogram: NDArray[np.int64]) -> ImageScores:
        """Add the pictures of a batch.

        Args:
            histogram: (N, 2, 1024) counts from `pixel_histogram`.

        Returns:
            The scores of each picture.
        """
        scores = score_images(histogram, self.profile)
        undefined = np.isnan(scores.iou)
        self.images += histogram.shape[0]
        self.degenerate_masks += int(np.count_nonzero(scores.degenerate))
        self.undefined_iou += int(np.count_nonzero(undefined))
        self.accuracy += int(_fixed_sum(scores.accuracy))
        self.iou += int(_fixed_sum(scores.iou[~undefined]))
        self.f_beta += int(_fixed_sum(scores.f_beta))
        self.curve = self.curve + _fixed_sum(scores.curve)
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
        for name in ("images", "degenerate_masks", "undefined_iou", "accuracy", "iou", "f_beta"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.curve = self.curve + other.curve

    def compute(self) -> Aggregate:
        """Give the means.

        Returns:
            The scores over all pictures so far.

        Raises:
            ValueError: There was no picture.
        """
        if self.images == 0:
            raise ValueError("No picture was scored; update the sums before computing means.")
        whole = self.images * _FIXED_POINT
        return Aggregate(
            profile=self.profile.name,
            accuracy=self.accuracy / whole,
            iou=math.nan if self.undefined_iou else self.iou / whole,
            f_beta=self.f_beta / whole,
            max_f_beta=int(self.curve.max()) / whole,
            images=self.images,
            degenerate_masks=self.degenerate_masks,
            undefined_iou=self.undefined_iou,
        )


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
