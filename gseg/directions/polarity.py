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
from gseg.transfers import send

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
    rows, columns = _border(generator.card.resolution, generator.device)
    vectors = send(vectors, generator.device)
    for step in range(math.ceil(_BORDER_PICTURES / config.batch)):
        code, y, epsilon = draw_codes(generator, fixed, "border", step)
        first, second = (
            terms.planes(generator(code + epsilon * vector, y)).sum(1) for vector in vectors
        )
        change = first - second
        votes.append(change[:, rows, columns].mean(1) > change.mean((1, 2)))
    return float(torch.cat(votes).float().mean())


def _border(side: int, device: torch.device) -> tuple[Tensor, ...]:
    """Give rows and columns of the pixels in the outermost sixteenth of each side.

    Their places, found on the CPU: a device would be waited for to know how many there are.
    """
    depth = max(1, side // 16)
    border = torch.ones(side, side, dtype=torch.bool)
    border[depth:-depth, depth:-depth] = False
    return tuple(send(places, device) for places in border.nonzero(as_tuple=True))
