"""Clusters of a discriminator's features, which serve as classes (Liu et al. 2020, section 3).

k-means starts from the means of the clusters before, in the features as they are now, so a
cluster keeps its number while it changes.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.images import from_uint8
from gseg.pretraining.discriminator import Discriminator
from gseg.randomness import uniforms

_CHUNK: Final = 500
_ROUNDS: Final = 20


@torch.no_grad()
def cluster(
    discriminator: Discriminator, pictures: Tensor, before: Tensor | None, count: int, *, seed: int
) -> Tensor:
    """Group pictures by their pooled features.

    Args:
        discriminator: Gives the features; its state is not changed.
        pictures: (N, 3, 32, 32) uint8.
        before: (N,) int64, the clusters so far; None to start from pictures chosen by the seed.
        count: Clusters.
        seed: Of the start.

    Returns:
        (N,) int64 in [0, count).
    """
    table = _features(discriminator, pictures)
    if before is None:
        draws = uniforms(seed, [0], count)[0]
        centres = table[torch.from_numpy((draws * len(table)).astype("int64"))]
        assigned = _nearest(table, centres)
    else:
        assigned = before
    for _ in range(_ROUNDS):
        centres = _means(table, assigned, count)
        moved = _nearest(table, centres)
        if torch.equal(moved, assigned):
            break
        assigned = moved
    return assigned


def _features(discriminator: Discriminator, pictures: Tensor) -> Tensor:
    """Compute pooled features of unit length, (N, C) float32 on the CPU."""
    mode = discriminator.training
    discriminator.eval()  # spectral normalisation makes no power iteration
    device = next(discriminator.parameters()).device
    parts = []
    for chunk in torch.split(pictures, _CHUNK):
        with torch.autocast(device.type, torch.bfloat16):
            pooled = discriminator.features(from_uint8(chunk.to(device)))[1]
        parts.append(F.normalize(pooled.float(), dim=1).cpu())
    discriminator.train(mode)
    return torch.cat(parts)


def _nearest(table: Tensor, centres: Tensor) -> Tensor:
    return (table @ centres.t() - centres.square().sum(1) / 2).argmax(1)


def _means(table: Tensor, assigned: Tensor, count: int) -> Tensor:
    """Give the mean of each cluster; one without pictures takes the one farthest from its own."""
    sums = torch.zeros(count, table.shape[1]).index_add_(0, assigned, table)
    sizes = torch.bincount(assigned, minlength=count)
    means = sums / sizes.clamp(min=1)[:, None]
    empty = (sizes == 0).nonzero()[:, 0]
    if len(empty):
        distance = (table - means[assigned]).square().sum(1)
        means[empty] = table[distance.topk(len(empty)).indices]
    return means
