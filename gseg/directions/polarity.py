"""Tell the lighter from the darker direction where the loss cannot."""

import math
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from gseg.directions.codes import draw_codes
from gseg.directions.config import SearchConfig
from gseg.directions.objective import objective
from gseg.exactness import exact
from gseg.generators.contract import Generator

_BORDER_PICTURES: Final = 256


@exact()
@torch.no_grad()
def border_vote(generator: Generator, vectors: Tensor, config: SearchConfig) -> float:
    """Count in how many pictures the first vector lightens the border against the whole.

    The prior-free loss does not know which of its two directions lightens the foreground. What
    is taken from outside is that a picture's border shows background more than the picture as a
    whole does; it decides one bit, and a vote near one half says that it decides it badly.

    Args:
        generator: The generator that was searched.
        vectors: (2, D), supposedly lighter and darker.
        config: Gives seed, batch and epsilon.

    Returns:
        Share of fresh pictures in [0, 1]; above one half the two should be exchanged.
    """
    terms = objective(config.objective)
    fixed = replace(config, epsilon_std=0.0)
    votes = []
    for step in range(math.ceil(_BORDER_PICTURES / config.batch)):
        code, y, epsilon = draw_codes(generator, fixed, "border", step)
        first, second = (
            terms.planes(generator(code + epsilon * vector, y)).sum(1)
            for vector in vectors.to(code.device)
        )
        change = first - second
        votes.append(change[:, _border(change)].mean(1) > change.mean((1, 2)))
    return float(torch.cat(votes).float().mean())


def _border(images: Tensor) -> Tensor:
    """Mark the outermost sixteenth of each side of (N, H, W) pictures."""
    height, width = images.shape[1:]
    depth = max(1, min(height, width) // 16)
    border = torch.ones(height, width, dtype=torch.bool, device=images.device)
    border[depth:-depth, depth:-depth] = False
    return border
