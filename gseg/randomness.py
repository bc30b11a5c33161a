"""Counter-based random numbers: a draw is a function of (seed, index), never of who asks first.

Sample i of a data set must be the same whichever worker draws it, so nothing here keeps a state.
Each row is its own SplitMix64 stream (Steele, Lea and Flood 2014) whose start is a hash of the
seed and the index.
"""

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:  # configs derive seeds, and must not wait for torch
    from torch import Tensor

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2: Final = np.uint64(0x94D049BB133111EB)


def derive_seed(seed: int, *names: str | int) -> int:
    """Give a named stream, such as ``"latents"``, of a seed its own seed.

    Returns:
        An integer in [0, 2**63), the same on every machine and Python version.
    """
    # Not Python's `hash`, which differs from process to process.
    text = repr((int(seed), *names)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def uniforms(seed: int, indices: ArrayLike, count: int) -> NDArray[np.float64]:
    """Draw independent uniform numbers for each index.

    Args:
        seed: Any non-negative integer below 2**64.
        indices: (N,) non-negative integers.
        count: Numbers for each index.

    Returns:
        (N, count) float64 in the open interval (0, 1).
    """
    rows = np.asarray(indices, dtype=np.uint64).reshape(-1, 1)
    columns = np.arange(1, count + 1, dtype=np.uint64)
    with np.errstate(over="ignore"):
        start = _mix(np.uint64(seed) + _GOLDEN) ^ _mix((rows + np.uint64(1)) * _GOLDEN)
        bits = _mix(_mix(start) + columns * _GOLDEN)
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(seed: int, indices: ArrayLike, count: int) -> NDArray[np.float64]:
    """Draw independent standard normal numbers for each index (Box-Muller).

    Args:
        seed: Any non-negative integer below 2**64.
        indices: (N,) non-negative integers.
        count: Numbers for each index.

    Returns:
        (N, count) float64.
    """
    pairs = (count + 1) // 2
    u = uniforms(seed, indices, 2 * pairs)
    radius = np.sqrt(-2.0 * np.log(u[:, :pairs]))
    angle = 2.0 * np.pi * u[:, pairs:]
    return np.hstack([radius * np.cos(angle), radius * np.sin(angle)])[:, :count]


def latents(seed: int, indices: ArrayLike, latent_dim: int) -> "Tensor":
    """Draw the latent z of each sample from N(0, I): (N, latent_dim) float32 on the CPU."""
    import torch

    z = normals(derive_seed(seed, "latent"), indices, latent_dim)
    return torch.from_numpy(z.astype(np.float32))


def labels(seed: int, indices: ArrayLike, num_classes: int) -> "Tensor | None":
    """Draw the class label y of each sample, uniform over the classes.

    Returns:
        (N,) int64 on the CPU in [0, num_classes), or None if there are no classes.
    """
    import torch

    if num_classes == 0:
        return None
    u = uniforms(derive_seed(seed, "label"), indices, 1)[:, 0]
    return torch.from_numpy((u * num_classes).astype(np.int64))


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, size: int, window: int) -> NDArray[np.int64]:
    keys = uniforms(derive_seed(seed, "order", epoch), [0], size)[0]
    if window < size:  # sample i comes in the order of i + window * u, u uniform in (0, 1)
        keys = np.arange(size) + window * keys
    return np.argsort(keys, kind="stable").astype(np.int64)


def training_order(
    seed: int, step: int, batch: int, size: int, window: int | None = None
) -> NDArray[np.int64]:
    """Say which samples a training step sees.

    The order runs through permutations of the whole set, one for each epoch; batches cross the
    border of an epoch, so every step has a full batch.

    With a window smaller than the set, those that have come end before those that have not begin,
    at any moment, except for `window` consecutive samples: a reader that goes through the set from
    first to last needs to hold no more than these. Window 1 is the order of the samples themselves.

    Args:
        seed: Seed of the stream.
        step: Number of the step, from 0.
        batch: Samples in a step.
        size: Samples in the set, at least 1.
        window: At least 1; None, or the set's size or more, for a permutation of the whole set.

    Returns:
        (batch,) int64 in [0, size).
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    epochs, offsets = np.divmod(positions, size)
    chosen = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        order = _epoch_order(seed, int(epoch), size, size if window is None else min(window, size))
        chosen[here] = order[offsets[here]]
    return chosen


def _mix(z: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * _MIX_1
        z = (z ^ (z >> np.uint64(27))) * _MIX_2
        return np.asarray(z ^ (z >> np.uint64(31)))
