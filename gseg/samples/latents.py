"""Latents and labels of candidates: functions of (seed, index), whoever draws them."""

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from gseg.generators.contract import GeneratorCard
from gseg.randomness import labels, latents


def prior(
    card: GeneratorCard, seed: int, indices: ArrayLike, *, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor | None]:
    """Draw candidates from the generator's own prior: z from N(0, I), y uniform.

    Args:
        card: Of the generator.
        seed: Seed of the samples.
        indices: (N,) candidate numbers.
        device: Where the tensors go; they are drawn on the CPU, so that every device gets the
            same ones.

    Returns:
        z (N, latent_dim) float32, and y (N,) int64 or None if labels are ignored.
    """
    z = latents(seed, indices, card.latent_dim).to(device)
    y = labels(seed, indices, card.num_classes)
    return z, None if y is None else y.to(device)
