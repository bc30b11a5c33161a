"""Distances between sets of pictures: Fréchet (FID) and kernel (KID), from what parts merge into.

FID (Heusel et al. 2017): d² = |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) of both sets' features. The
distance depends on the features and, because small samples bias it upwards, on the numbers of
pictures: both are in the protocol's name, and numbers of different protocols must not be compared.

KID (Bińkowski et al. 2018, "Demystifying MMD GANs") is the unbiased estimate of the squared maximum
mean discrepancy with the kernel k(x, y) = (x · y / D + 1)³, averaged over random subsets. It needs
vectors, not moments, so a fixed choice of pictures of a set is kept, whatever the size of the set
and whoever computes which part of it. Precision and recall, which stand beside both, are of these
vectors too (`gseg.scores.precision_recall`).
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gseg.features.networks import scenes_features
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, uniforms
from gseg.scores.feature_statistics import (
    FeatureStatistics,
    KeptVectors,
    Moments,
    collect_statistics,
)
from gseg.scores.picture_sources import SCENES_SOURCE, GeneratedPictures, ScenesPictures
from gseg.scores.precision_recall import NEIGHBOURS, PrecisionRecall, precision_recall

REFERENCE_PICTURES: Final = 10_000
"""Training scenes that generators of scenes are compared with."""
SUBSETS: Final = 100
SUBSET_SIZE: Final = 1_000
"""Both as in the authors' program and torch-fidelity."""
_SEED: Final = 0
# What sources end with whose pictures were brought to a size.
_SIDE: Final = re.compile(r" at \d+ px$")


@dataclass(frozen=True, kw_only=True, slots=True)
class KernelDistance:
    """A kernel distance and what it means.

    Attributes:
        value: Mean over the subsets; about 0 for equal distributions, and below 0 by chance.
        deviation: Standard deviation over the subsets; None where both sets were taken whole.
        protocol: Features, kernel, subsets; only distances of one protocol compare.
    """

    value: float
    deviation: float | None
    protocol: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Distance:
    """A distance and what it means.

    Attributes:
        value: Fréchet distance, at least 0; lower is nearer.
        protocol: Features and numbers of pictures; only distances of one protocol compare.
        samples: Number of pictures measured.
        kernel: The kernel distance beside it; None where vectors of the reference are not known.
        precision_recall: Both beside it; None there, too, and where pictures are too few.
    """

    value: float
    protocol: str
    samples: int
    kernel: KernelDistance | None = None
    precision_recall: PrecisionRecall | None = None


def compare(generated: FeatureStatistics, reference: FeatureStatistics) -> Distance:
    """Measure Fréchet and kernel distance of two sets of pictures, precision and recall.

    Args:
        generated: Statistics of generated pictures.
        reference: Of real ones, in the same features.

    Returns:
        The distances; the protocol names the reference unless that is scenes.

    Raises:
        ValueError: The features differ, or it is not known of how many pictures the first is.
    """
    count, known = generated.count, reference.count
    if count is None:
        raise ValueError(
            f"{generated.source} does not say of how many pictures it is: give it as the reference."
        )
    widths = len(generated.moments.mean), len(reference.moments.mean)
    if widths[0] != widths[1]:
        raise ValueError(
            f"{generated.source} has {widths[0]} features of each picture and {reference.source} "
            f"{widths[1]}: take both with the same network."
        )
    # Both sides have been brought to one size, which belongs to the protocol.
    side = found[0] if (found := _SIDE.search(generated.source)) else ""
    protocol = f"{generated.features}, {count} samples{side}"
    if reference.source.removesuffix(side) != SCENES_SOURCE:
        protocol += f", reference {reference.source}"
        protocol += f" ({known})" if known is not None else ""
    elif known != count:
        protocol += f", {known} references"
    kernel, shares = None, None
    if generated.kept is not None and reference.kept is not None:
        kernel = kernel_distance(generated.kept, reference.kept)
        kernel = replace(kernel, protocol=f"{kernel.protocol}{side}")
        if min(len(kept.indices) for kept in (generated.kept, reference.kept)) > NEIGHBOURS:
            shares = precision_recall(generated.kept, reference.kept)
            shares = replace(shares, protocol=f"{shares.protocol}{side}")
    return Distance(
        value=frechet_distance(generated.moments, reference.moments),
        protocol=protocol,
        samples=count,
        kernel=kernel,
        precision_recall=shares,
    )


def scenes_distance(generator: Generator, count: int = REFERENCE_PICTURES) -> Distance:
    """Measure how far a generator of scenes is from as many of its training pictures.

    Returns:
        The distance that sweeps measure for the same count and seed 0: `value` and `protocol` are
        a card's ``fid`` and ``fid_protocol``.
    """
    extractor = scenes_features(device=generator.device)
    side = generator.card.resolution
    sources = GeneratedPictures(generator, count), ScenesPictures(count, resolution=side)
    generated, reference = (
        collect_statistics(each.batches(range(count)), extractor, source=each.name, count=count)
        for each in sources
    )
    return compare(generated, reference)


def frechet_distance(first: Moments, second: Moments) -> float:
    """Measure the distance d² >= 0 of two normal distributions with these moments.

    Raises:
        ValueError: The features differ, or a set has fewer than two vectors.
    """
    if (first.features, len(first.mean)) != (second.features, len(second.mean)):
        raise ValueError(
            f"A distance between {first.features!r} and {second.features!r} has no meaning; "
            "take both moments with the same features."
        )
    covariance, other = first.covariance, second.covariance
    # The trace of (Σ₁ Σ₂)^½ is the sum of the roots of the eigenvalues of the symmetric Σ₁^½ Σ₂
    # Σ₁^½. That form stays real and finite where a covariance has no inverse, as it has when there
    # are fewer pictures than features or a feature never fires; `scipy.linalg.sqrtm` does not.
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    inner = root @ other @ root
    eigenvalues = np.linalg.eigvalsh((inner + inner.T) / 2)
    cross = np.sqrt(eigenvalues.clip(min=0)).sum()
    shift = first.mean - second.mean
    distance = shift @ shift + np.trace(covariance) + np.trace(other) - 2 * cross
    return max(float(distance), 0.0)


def kernel_distance(
    first: KeptVectors, second: KeptVectors, *, subsets: int = SUBSETS, size: int = SUBSET_SIZE
) -> KernelDistance:
    """Measure the kernel distance of two sets.

    Args:
        first: Vectors of one set.
        second: Of another, in the same features.
        subsets: How often subsets are drawn.
        size: Pictures of each set in a subset; fewer if a set has fewer. Sets of no more than
            that, and of equal size, are taken whole, once.

    Raises:
        ValueError: The features differ, or a set has fewer than two vectors.
    """
    if first.features != second.features:
        raise ValueError(
            f"A distance between {first.features!r} and {second.features!r} has no meaning; "
            "take both with the same features."
        )
    size = min(size, len(first.indices), len(second.indices))
    if size < 2:
        raise ValueError("A kernel distance needs at least 2 pictures of each set.")
    counts = len(first.indices), len(second.indices)
    protocol = f"KID, {first.features}, cubic kernel"
    if counts == (size, size):  # every subset would be the whole
        return KernelDistance(
            value=squared_discrepancy(first.vectors, second.vectors),
            deviation=None,
            protocol=f"{protocol}, all {size}",
        )
    values = []
    for number, own in enumerate(_own_terms(second, subsets, size)):
        x = first.vectors[_subset(counts[0], size, "first", number)]
        y = second.vectors[_subset(counts[1], size, "second", number)]
        values.append(squared_discrepancy(x, y, own=own))
    return KernelDistance(
        value=float(np.mean(values)),
        deviation=float(np.std(values)),
        protocol=f"{protocol}, {subsets} subsets of {size} from {counts[0]} and {counts[1]}",
    )


@lru_cache(maxsize=1)
def _own_terms(second: KeptVectors, subsets: int, size: int) -> list[float]:
    """Compute what is the second set's own."""
    # A sweep compares all generators with one reference, whose share is a third of the work.
    chosen = (_subset(len(second.indices), size, "second", number) for number in range(subsets))
    return [_mean_of_pairs(_with_one(second.vectors[rows])) for rows in chosen]


def squared_discrepancy(
    first: NDArray[np.float32], second: NDArray[np.float32], *, own: float | None = None
) -> float:
    """Estimate the squared maximum mean discrepancy without bias (Gretton et al. 2012, Eq. (3)).

    Args:
        first: (m, D) vectors.
        second: (n, D) vectors.
        own: Mean of k over pairs in the second set, where that is known.

    Returns:
        Mean of k over pairs in each set, less twice its mean over pairs across.
    """
    x, y = _with_one(first), _with_one(second)
    across = _kernel_sum(x, y) / (len(x) * len(y))
    return _mean_of_pairs(x) + (_mean_of_pairs(y) if own is None else own) - 2 * across


def _with_one(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Divide by √D and append 1, so that a product of two is x · y / D + 1."""
    scaled = vectors.astype(np.float64) / vectors.shape[1] ** 0.5
    return np.concatenate([scaled, np.ones((len(vectors), 1))], axis=1)


def _mean_of_pairs(x: NDArray[np.float64]) -> float:
    """Average the kernel over pairs of different vectors."""
    itself = (x * x).sum(1) ** 3
    return (_kernel_sum(x, x) - float(itself.sum())) / (len(x) * (len(x) - 1))


def _kernel_sum(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Sum the kernel over all pairs; the last product and the sum are one dot product."""
    base = x @ y.T
    return float(np.vdot(base * base, base))


def _subset(count: int, size: int, name: str, number: int) -> NDArray[np.int64]:
    """Choose vectors without putting back."""
    # The subset is a function of its number: the same for every generator of a sweep.
    keys = uniforms(derive_seed(_SEED, "kid subset", name), [number], count)[0]
    return np.argpartition(keys, size - 1)[:size].astype(np.int64)
