"""Kernel distance between sets of pictures (Bińkowski et al. 2018, "Demystifying MMD GANs").

KID is the unbiased estimate of the squared maximum mean discrepancy with the kernel
k(x, y) = (x · y / D + 1)³, averaged over random subsets. It needs vectors, not moments, so a fixed
choice of at most `KEPT` pictures of a set is kept, whatever the size of the set and whoever
computes which part of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gseg.randomness import derive_seed, uniforms

KEPT: Final = 10_000
"""Vectors kept of a set at most: 80 MB of Inception features."""
SUBSETS: Final = 100
SUBSET_SIZE: Final = 1_000
"""Both as in the authors' program and torch-fidelity."""
_SEED: Final = 0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class KeptVectors:
    """Feature vectors of the pictures that were chosen from a set.

    Attributes:
        indices: (n,) int64, numbers of the pictures, ascending.
        vectors: (n, D) float32.
        features: Name of the feature extractor.
    """

    indices: NDArray[np.int64]
    vectors: NDArray[np.float32]
    features: str

    @classmethod
    def join(cls, parts: Sequence["KeptVectors"]) -> "KeptVectors":
        """Put the choices of the parts of one set together.

        Args:
            parts: At least one, of different pictures.

        Returns:
            The same, whatever the parts were and their order.

        Raises:
            ValueError: The features differ, or a picture comes twice.
        """
        if len({part.features for part in parts}) > 1:
            raise ValueError(
                f"Vectors of {sorted({p.features for p in parts})} do not go together."
            )
        indices = np.concatenate([part.indices for part in parts])
        order = np.argsort(indices, kind="stable")
        if (np.diff(indices[order]) == 0).any():
            raise ValueError("Parts of one set must be of different pictures; some come twice.")
        vectors = np.concatenate([part.vectors for part in parts])
        return cls(indices=indices[order], vectors=vectors[order], features=parts[0].features)


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


def chosen_pictures(count: int, kept: int = KEPT) -> NDArray[np.bool_]:
    """Choose the pictures of a set whose vectors are kept.

    Args:
        count: Pictures of the set.
        kept: How many to choose at most.

    Returns:
        (count,) bool; all True if the set is no larger than that.
    """
    chosen = np.ones(count, bool)
    if count > kept:
        keys = uniforms(derive_seed(_SEED, "kid choice"), np.arange(count), 1)[:, 0]
        chosen[np.argsort(keys, kind="stable")[kept:]] = False
    return chosen


def kernel_distance(
    first: KeptVectors,
    second: KeptVectors,
    *,
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
) -> KernelDistance:
    """Measure the kernel distance of two sets.

    Args:
        first: Vectors of one set.
        second: Of another, in the same features.
        subsets: How often subsets are drawn.
        size: Pictures of each set in a subset; fewer if a set has fewer. Sets of no more than
            that, and of equal size, are taken whole, once.

    Returns:
        The distance.

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
    if counts == (size, size):
        return KernelDistance(
            value=squared_discrepancy(first.vectors, second.vectors),
            deviation=None,
            protocol=f"{protocol}, all {size}",
        )
    own = _own_terms(second, subsets, size)
    values = np.array(
        [
            squared_discrepancy(
                first.vectors[_subset(counts[0], size, "first", number)],
                second.vectors[_subset(counts[1], size, "second", number)],
                own=own[number],
            )
            for number in range(subsets)
        ]
    )
    return KernelDistance(
        value=float(values.mean()),
        deviation=float(values.std()),
        protocol=f"{protocol}, {subsets} subsets of {size} from {counts[0]} and {counts[1]}",
    )


@lru_cache(maxsize=1)
def _own_terms(second: KeptVectors, subsets: int, size: int) -> list[float]:
    """Compute what is the second set's own; a sweep compares all generators with one reference."""
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
    keys = uniforms(derive_seed(_SEED, "kid subset", name), [number], count)[0]
    return np.argpartition(keys, size - 1)[:size].astype(np.int64)
