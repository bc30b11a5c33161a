"""Mean and covariance of features, from sums that merge."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Normal(Protocol):
    """What a Fréchet distance needs to know of a set of pictures."""

    @property
    def features(self) -> str:
        """Name of the feature extractor."""
        ...

    @property
    def mean(self) -> NDArray[np.float64]:
        """(D,) float64."""
        ...

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(D, D) float64, unbiased."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Moments:
    """Mean and scatter of feature vectors; two of them add up.

    Attributes:
        count: Number of vectors.
        mean: (D,) float64.
        scatter: (D, D) float64, sum of the outer products of deviations from the mean.
        features: Name of the feature extractor.
    """

    count: int
    mean: NDArray[np.float64]
    scatter: NDArray[np.float64]
    features: str

    @classmethod
    def of(cls, vectors: Tensor | NDArray[np.float32], features: str) -> "Moments":
        """Take the moments of one batch.

        Args:
            vectors: (N, D) features; N may be 0.
            features: Name of the feature extractor.

        Returns:
            Its moments.

        Raises:
            ValueError: The vectors are not a table, or not all finite.
        """
        table = np.asarray(vectors, dtype=np.float64)
        if table.ndim != 2:
            raise ValueError(f"Expected features (N, D), got an array of shape {table.shape}.")
        if not np.isfinite(table).all():
            raise ValueError("Features contain NaN or infinity; look at the pictures they are of.")
        if len(table) == 0:
            return cls.zero(table.shape[1], features)
        mean = table.mean(0)
        deviation = table - mean
        return cls(count=len(table), mean=mean, scatter=deviation.T @ deviation, features=features)

    @classmethod
    def zero(cls, dim: int, features: str) -> "Moments":
        """Give the moments of no vectors.

        Args:
            dim: Length D of a vector.
            features: Name of the feature extractor.

        Returns:
            What adding changes nothing.
        """
        return cls(count=0, mean=np.zeros(dim), scatter=np.zeros((dim, dim)), features=features)

    def __add__(self, other: "Moments") -> "Moments":
        """Merge with the moments of other pictures (Chan, Golub and LeVeque 1979)."""
        if (self.features, len(self.mean)) != (other.features, len(other.mean)):
            raise ValueError(
                f"Moments of {self.features!r} ({len(self.mean)} features) and of "
                f"{other.features!r} ({len(other.mean)}) cannot be added."
            )
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        weight = other.count / count
        return Moments(
            count=count,
            mean=self.mean + step * weight,
            scatter=self.scatter + other.scatter + np.outer(step, step) * (self.count * weight),
            features=self.features,
        )

    @property
    def covariance(self) -> NDArray[np.float64]:
        """(D, D) float64, unbiased."""
        if self.count < 2:
            raise ValueError(f"A covariance needs at least 2 pictures, got {self.count}.")
        return self.scatter / (self.count - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenMoments:
    """Mean and covariance of a set that nobody told the size of.

    Attributes:
        mean: (D,) float64.
        covariance: (D, D) float64.
        features: Name of the feature extractor that they were made with.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    features: str
