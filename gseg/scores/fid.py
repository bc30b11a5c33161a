"""Fréchet distance between sets of pictures, from moments that merge (Heusel et al. 2017).

d² = |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) of the features of both sets. The distance depends on
the features and, because small samples bias it upwards, on the numbers of pictures: both are in
the protocol's name, and numbers of different protocols must not be compared.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gseg.features import FeatureExtractor
from gseg.scenes.pictures import VALIDATION_FIRST, render

REFERENCE_PICTURES: Final = 5000
"""Training scenes that generators of scenes are compared with."""

_CHUNK: Final = 500


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
class PictureDistance:
    """A distance and what it means.

    Attributes:
        value: Fréchet distance, at least 0; lower is nearer.
        protocol: Features and numbers of pictures; only distances of one protocol compare.
        samples: Number of pictures measured.
    """

    value: float
    protocol: str
    samples: int


def frechet_distance(first: Moments, second: Moments) -> float:
    """Measure the distance of two normal distributions with these moments.

    The trace of (Σ₁ Σ₂)^½ is the sum of the roots of the eigenvalues of the symmetric
    Σ₁^½ Σ₂ Σ₁^½. That form stays real and finite where a covariance has no inverse, as it has when
    there are fewer pictures than features or a feature never fires.

    Args:
        first: Moments of at least two vectors.
        second: Moments in the same features.

    Returns:
        The distance d² >= 0, as FID is reported.

    Raises:
        ValueError: The features differ, or a set has fewer than two vectors.
    """
    if (first.features, len(first.mean)) != (second.features, len(second.mean)):
        raise ValueError(
            f"A distance between {first.features!r} and {second.features!r} has no meaning; "
            "take both moments with the same features."
        )
    covariance, other = first.covariance, second.covariance
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    inner = root @ other @ root
    eigenvalues = np.linalg.eigvalsh((inner + inner.T) / 2)
    cross = np.sqrt(eigenvalues.clip(min=0)).sum()
    shift = first.mean - second.mean
    distance = shift @ shift + np.trace(covariance) + np.trace(other) - 2 * cross
    return max(float(distance), 0.0)


def feature_moments(batches: Iterable[Tensor], extractor: FeatureExtractor) -> Moments:
    """Take the moments of a stream of pictures; memory does not grow with its length.

    Args:
        batches: Pictures, (N, 3, H, W) uint8 each.
        extractor: The feature network.

    Returns:
        Moments of all of them.
    """
    whole = Moments.zero(extractor.dim, extractor.name)
    for pictures in batches:
        whole += Moments.of(extractor(pictures), extractor.name)
    return whole


def scenes_moments(
    extractor: FeatureExtractor, *, count: int = REFERENCE_PICTURES, first: int = 0, seed: int = 0
) -> Moments:
    """Render scenes and take their moments, by default those of the first training pictures.

    Args:
        extractor: The feature network.
        count: Number of pictures.
        first: Index of the first picture.
        seed: Seed of the scenes.

    Returns:
        Moments of the scenes.

    Raises:
        ValueError: Training indices run on into validation indices.
    """
    if first < VALIDATION_FIRST < first + count:
        raise ValueError(
            f"{count} scenes from {first} cross index {VALIDATION_FIRST}, where validation starts."
        )
    starts = range(first, first + count, _CHUNK)
    batches = (
        render(range(start, min(start + _CHUNK, first + count)), seed=seed).pictures
        for start in starts
    )
    return feature_moments(batches, extractor)


def picture_distance(
    batches: Iterable[Tensor], reference: Moments, extractor: FeatureExtractor
) -> PictureDistance:
    """Measure how far a stream of generated pictures is from a reference.

    Args:
        batches: Generated pictures, (N, 3, H, W) uint8 each.
        reference: Moments of the real pictures with the same extractor, see `scenes_moments`.
        extractor: The feature network.

    Returns:
        The distance with its protocol.
    """
    return distance_between(feature_moments(batches, extractor), reference)


def distance_between(generated: Moments, reference: Moments) -> PictureDistance:
    """Measure the distance from moments, of several workers' shares added up for example.

    Args:
        generated: Moments of generated pictures.
        reference: Moments of real pictures in the same features.

    Returns:
        The distance with its protocol, such as "scenes-features-v1, 5000 samples".
    """
    protocol = f"{generated.features}, {generated.count} samples"
    if reference.count != generated.count:
        protocol += f", {reference.count} references"
    return PictureDistance(
        value=frechet_distance(generated, reference), protocol=protocol, samples=generated.count
    )
