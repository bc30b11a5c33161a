"""Fréchet distance between sets of pictures, from moments that merge (Heusel et al. 2017).

d² = |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) of the features of both sets. The distance depends on
the features and, because small samples bias it upwards, on the numbers of pictures: both are in
the protocol's name, and numbers of different protocols must not be compared.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from torch import Tensor

from gseg.features.networks import NetworkFeatures
from gseg.features.scenes import scenes_features
from gseg.generators.contract import Generator
from gseg.samples.config import LatentConfig
from gseg.scores.feature_statistics import FeatureStatistics, collect_statistics
from gseg.scores.kid import KernelDistance, kernel_distance
from gseg.scores.moments import Moments, Normal
from gseg.scores.picture_sources import (
    SCENES_SOURCE,
    GeneratedPictures,
    PictureSource,
    ScenesPictures,
)
from gseg.transfers import one_behind

REFERENCE_PICTURES: Final = 5000
"""Training scenes that generators of scenes are compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Distance:
    """A distance and what it means.

    Attributes:
        value: Fréchet distance, at least 0; lower is nearer.
        protocol: Features and numbers of pictures; only distances of one protocol compare.
        samples: Number of pictures measured.
        kernel: The kernel distance beside it; None where vectors of the reference are not known.
    """

    value: float
    protocol: str
    samples: int
    kernel: KernelDistance | None = None


def frechet_distance(first: Normal, second: Normal) -> float:
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


def feature_moments(batches: Iterable[Tensor], extractor: NetworkFeatures) -> Moments:
    """Take the moments of a stream of pictures; memory does not grow with its length.

    Args:
        batches: Pictures, (N, 3, H, W) uint8 each.
        extractor: The feature network.

    Returns:
        Moments of all of them.
    """
    whole = Moments.zero(extractor.dim, extractor.name)
    for arrived in one_behind(extractor.begin(pictures) for pictures in batches):
        whole += Moments.of(arrived(), extractor.name)
    return whole


def scenes_moments(
    extractor: NetworkFeatures, *, count: int = REFERENCE_PICTURES, first: int = 0, seed: int = 0
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
    scenes = ScenesPictures(count, first=first, seed=seed)
    return feature_moments(scenes.batches(range(count)), extractor)


def source_statistics(source: PictureSource, extractor: NetworkFeatures) -> FeatureStatistics:
    """Take the statistics of a whole set of pictures in this process.

    Args:
        source: The pictures.
        extractor: The feature network.

    Returns:
        Their statistics.
    """
    rows = range(len(source))
    return collect_statistics(
        source.batches(rows), extractor, source=source.name, count=len(source)
    )


def picture_distance(
    batches: Iterable[Tensor], reference: Moments, extractor: NetworkFeatures
) -> Distance:
    """Measure how far a stream of generated pictures is from a reference.

    Args:
        batches: Generated pictures, (N, 3, H, W) uint8 each.
        reference: Moments of the real pictures with the same extractor, see `scenes_moments`.
        extractor: The feature network.

    Returns:
        The distance with its protocol.
    """
    return distance_between(feature_moments(batches, extractor), reference)


def distance_between(generated: Moments, reference: Moments) -> Distance:
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
    return Distance(
        value=frechet_distance(generated, reference), protocol=protocol, samples=generated.count
    )


def compare(generated: FeatureStatistics, reference: FeatureStatistics) -> Distance:
    """Measure Fréchet and kernel distance of two sets of pictures.

    Args:
        generated: Statistics of generated pictures.
        reference: Of real ones, in the same features.

    Returns:
        The distances; the protocol names the reference unless that is scenes.

    Raises:
        ValueError: The features differ, or it is not known of how many pictures the first is.
    """
    if not isinstance(generated.moments, Moments):
        raise ValueError(
            f"{generated.source} does not say of how many pictures it is: give it as the reference."
        )
    count, known = generated.moments.count, reference.count
    protocol = f"{generated.features}, {count} samples"
    if reference.source != SCENES_SOURCE:
        protocol += f", reference {reference.source}"
        protocol += f" ({known})" if known is not None else ""
    elif known != count:
        protocol += f", {known} references"
    kernel = None
    if generated.kept is not None and reference.kept is not None:
        kernel = kernel_distance(generated.kept, reference.kept)
    return Distance(
        value=frechet_distance(generated.moments, reference.moments),
        protocol=protocol,
        samples=count,
        kernel=kernel,
    )


def scenes_distance(
    generator: Generator,
    count: int = REFERENCE_PICTURES,
    *,
    latents: LatentConfig | None = None,
    seed: int = 0,
) -> Distance:
    """Measure how far a generator of scenes is from its training pictures.

    Args:
        generator: On any device.
        count: Generated pictures, and as many training scenes.
        latents: Where latents and labels come from; the prior if None.
        seed: Of the latents.

    Returns:
        The distance that sweeps measure for the same count and seed: `value` and `protocol` are a
        card's ``fid`` and ``fid_protocol``.
    """
    extractor = scenes_features(device=generator.device)
    pictures = GeneratedPictures(generator, count, latents=latents, seed=seed)
    reference = ScenesPictures(count, resolution=generator.card.resolution)
    return compare(source_statistics(pictures, extractor), source_statistics(reference, extractor))
