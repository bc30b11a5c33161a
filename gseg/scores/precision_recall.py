"""Improved precision and recall of generated pictures: Kynkäänniemi et al. 2019, section 2.

The manifold of a set is estimated by balls around the features of its pictures, each as large as
the distance to the picture's k-th nearest neighbour in the set (k = 3 there and here). Precision is
the share of generated pictures in the manifold of the real ones: how many look real. Recall is the
share of real pictures in the manifold of the generated ones: how many could have been generated. A
distance alone does not tell the two apart.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gseg.scores.feature_statistics import KeptVectors

NEIGHBOURS: Final = 3
# Rows of a matrix of distances that are there at a time: 40 MB beside 10,000 vectors.
_BLOCK: Final = 500
# Of the real vectors' mean square. Squares of distances come from products, whose last bits depend
# on where blocks are cut; equal pictures lie in each other's balls, which may have no extent.
_SLACK: Final = 1e-10


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionRecall:
    """How many generated pictures look real, and how many real ones could have been generated.

    Attributes:
        precision: In [0, 1].
        recall: In [0, 1].
        protocol: Features, neighbours and numbers of vectors; only numbers of one protocol compare.
    """

    precision: float
    recall: float
    protocol: str


def precision_recall(
    generated: KeptVectors, real: KeptVectors, *, neighbours: int = NEIGHBOURS
) -> PrecisionRecall:
    """Measure precision and recall of generated pictures.

    Args:
        generated: Vectors of generated pictures.
        real: Of real ones, in the same features.
        neighbours: k of the manifolds' balls.

    Raises:
        ValueError: The features differ, or a set has too few vectors for k neighbours.
    """
    if generated.features != real.features:
        raise ValueError(
            f"Precision of {generated.features!r} in {real.features!r} has no meaning; take both "
            "with the same features."
        )
    counts = len(generated.indices), len(real.indices)
    if min(counts) <= neighbours:
        raise ValueError(
            f"Manifolds of {neighbours} neighbours need more than {neighbours} pictures of each "
            f"set, got {counts[0]} and {counts[1]}."
        )
    balls, real_balls = _balls(generated.vectors, neighbours), _real_balls(real, neighbours)
    slack = _SLACK * float(np.square(real.vectors, dtype=np.float64).sum(1).mean())
    inside, reached = 0, np.zeros(counts[1], bool)
    for rows, distances in _distances(generated.vectors, real.vectors):
        distances -= slack
        inside += int((distances <= real_balls).any(1).sum())
        reached |= (distances <= balls[rows, None]).any(0)
    return PrecisionRecall(
        precision=inside / counts[0],
        recall=float(reached.mean()),
        protocol=f"{generated.features}, {neighbours} neighbours among {counts[0]} and {counts[1]}",
    )


@lru_cache(maxsize=1)
def _real_balls(real: KeptVectors, neighbours: int) -> NDArray[np.float64]:
    # A sweep compares all generators with one reference, whose balls are a third of the work.
    return _balls(real.vectors, neighbours)


def _balls(vectors: NDArray[np.float32], neighbours: int) -> NDArray[np.float64]:
    """Square the distance of each vector to its k-th nearest other: (n,)."""
    found = np.empty(len(vectors))
    for rows, distances in _distances(vectors, vectors):
        distances[np.arange(len(rows)), rows] = np.inf
        distances.partition(neighbours - 1, axis=1)
        found[rows] = distances[:, neighbours - 1]
    return found


def _distances(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Square the distances of all pairs, some rows at a time."""
    centre = second.mean(0, dtype=np.float64)  # without what all share no digits are lost to it
    y = second - centre
    squares = _squares(y)
    for start in range(0, len(first), _BLOCK):
        x = first[start : start + _BLOCK] - centre
        block = x @ y.T
        block *= -2
        block += _squares(x)[:, None]
        block += squares
        yield np.arange(start, start + len(x)), block


def _squares(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("nd,nd->n", vectors, vectors))
