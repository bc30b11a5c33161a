"""Batches of pictures that affine colour maps are fitted to."""

from collections.abc import Callable

import torch
from torch import Tensor

from gseg.directions.affine_config import AffineConfig
from gseg.directions.codes import shifted_pictures
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, training_order
from gseg.transfers import send

Batches = Callable[[int], tuple[Tensor, Tensor]]
"""Step to originals (B, 3, H, W) and shifted pictures (K, B, 3, H, W)."""


def picture_batches(originals: Tensor, shifted: Tensor, config: AffineConfig) -> Batches:
    """Serve batches from pictures that exist already.

    Args:
        originals: (N, 3, H, W) in [-1, 1].
        shifted: (K, N, 3, H, W).
        config: Gives batch and seed.

    Returns:
        A function for `fit_maps`: permutations of the N pictures, one after the other.
    """
    check_pictures(originals, shifted)
    seed = derive_seed(config.seed, "affine", "pictures")

    def batch(step: int) -> tuple[Tensor, Tensor]:
        order = training_order(seed, step, config.batch, len(originals))
        rows = send(torch.from_numpy(order), originals.device)
        return originals[rows], shifted[:, rows]

    return batch


def generated_batches(generator: Generator, shifts: Tensor, config: AffineConfig) -> Batches:
    """Generate fresh pictures for every step, as the paper does; originals are shared.

    Args:
        generator: A frozen generator.
        shifts: (K, D), the directions times the length of the shift.
        config: Gives batch and seed.

    Returns:
        A function for `fit_maps`.
    """

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rows = range(step * config.batch, (step + 1) * config.batch)
        return shifted_pictures(generator, shifts, rows, seed=config.seed)

    return batch


def check_pictures(originals: Tensor, shifted: Tensor) -> None:
    """Make sure that pictures and their shifted versions belong together.

    Args:
        originals: (N, 3, H, W).
        shifted: (K, N, 3, H, W).

    Raises:
        ValueError: The shapes are others.
    """
    if originals.ndim != 4 or shifted.ndim != 5 or shifted.shape[1:] != originals.shape:
        raise ValueError(
            "Expected originals (N, 3, H, W) and shifted pictures (K, N, 3, H, W) of the same N, "
            f"H and W, got {tuple(originals.shape)} and {tuple(shifted.shape)}."
        )
