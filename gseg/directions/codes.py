"""Codes and pictures that searches and scores look at: functions of the seed and a counter."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from gseg.directions.config import SearchConfig
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, labels, latents, normals
from gseg.transfers import send

Progress = Callable[[int, int], None]
"""Called after each step with (steps done, steps in all)."""

# A step that looks at 120 candidates on 4 latents asks for 480 shifted pictures.
_PICTURES_AT_ONCE: Final = 64


def codes_and_labels(generator: Generator, seed: int, rows: range) -> tuple[Tensor, Tensor | None]:
    """Draw the codes (N, D) and labels (N,) or None of numbered samples, where the generator is."""
    card, device = generator.card, generator.device
    y = labels(seed, rows, card.num_classes)
    code = generator.code(send(latents(seed, rows, card.latent_dim), device))
    return code, None if y is None else send(y, device)


def draw_codes(
    generator: Generator, config: SearchConfig, stream: str, step: int
) -> tuple[Tensor, Tensor | None, Tensor | float]:
    """Draw one batch of a named stream: a function of (seed, stream, step) alone.

    Returns:
        Codes (N, D), labels (N,) or None, and epsilon: a number, or (N, D) where it is drawn.
    """
    seed = derive_seed(config.seed, "direction", stream)
    rows = range(step * config.batch, (step + 1) * config.batch)
    code, y = codes_and_labels(generator, seed, rows)
    if config.epsilon_std == 0:
        return code, y, config.epsilon
    # As in the official program of Melas 2022; the text knows one length for all coordinates.
    noise = normals(derive_seed(seed, "epsilon"), rows, generator.card.code_dim)
    epsilon = config.epsilon + config.epsilon_std * torch.from_numpy(noise).float()
    return code, y, send(epsilon.clamp(min=config.epsilon_min), code.device)


@exact()
@torch.no_grad()
def shifted_pictures(
    generator: Generator, shifts: Tensor, rows: range, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Generate numbered pictures and their shifted versions along several directions.

    Args:
        generator: A frozen generator.
        shifts: (K, D).
        rows: Numbers of the samples.
        seed: Of latents and labels.

    Returns:
        Originals (N, 3, R, R) and shifted (K, N, 3, R, R), clamped to [-1, 1].
    """
    code, y = codes_and_labels(generator, derive_seed(seed, "affine", "latents"), rows)
    originals = generator(code, y).clamp(-1, 1)
    codes = (code + send(shifts, code.device)[:, None]).flatten(0, 1)
    many = None if y is None else y.repeat(len(shifts))
    pictures = originals.new_empty(len(codes), *originals.shape[1:])
    for first in range(0, len(codes), _PICTURES_AT_ONCE):
        part = slice(first, first + _PICTURES_AT_ONCE)
        pictures[part] = generator(codes[part], None if many is None else many[part]).clamp(-1, 1)
    return originals, pictures.view(len(shifts), *originals.shape)
