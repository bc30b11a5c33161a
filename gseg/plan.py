"""What a sweep will cost: estimates of stages, and the work that is left.

The rates are measured (one thread of a server CPU of 2024; one H100-class GPU) and good to a
factor of two: enough to decide where a stage runs and to say how long a sweep takes.
"""

from functools import lru_cache
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from gseg.jobs import cached_generator
from gseg.segmenters import FitConfig

_DRAW_FLOPS: Final = {"cpu": 6e10, "cuda": 2e13}
"""Floating-point operations a second of a generator's forward pass."""
_FIT_UNITS: Final = {"cpu": 2.5e8, "cuda": 2e11}
"""steps x batch x pixels x width**2 a second of a U-Net's training."""
_FORWARDS: Final = 2.0
"""Forward passes for a candidate: the picture and one shifted picture."""
_SCORE_PIXELS: Final = {"cpu": 2e6, "cuda": 5e7}
"""Pixels a second of scoring, reading included."""
_DIRECTION_FACTOR: Final = 6.0
"""Cost of a search's step for each latent, in forward passes."""


@lru_cache(maxsize=64)
def forward_flops(generator: str) -> int:
    """Count the floating-point operations of one picture.

    Args:
        generator: Catalogue name; it is loaded.

    Returns:
        Operations of a forward pass.
    """
    model = cached_generator(generator, "cpu")
    z = torch.zeros(1, model.card.latent_dim)
    y = torch.zeros(1, dtype=torch.int64) if model.card.num_classes else None
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(model.code(z), y)
    return int(counter.get_total_flops())


def draw_seconds(generator: str, candidates: int, device: str) -> float:
    """Estimate drawing candidates, in one-thread seconds of the device."""
    return _FORWARDS * candidates * forward_flops(generator) / _DRAW_FLOPS[device]


def direction_seconds(generator: str, steps: int, batch: int, device: str) -> float:
    """Estimate a search for a direction, in one-thread seconds of the device."""
    work = _DIRECTION_FACTOR * steps * batch * forward_flops(generator)
    return work / _DRAW_FLOPS[device]


def fit_seconds(config: FitConfig, side: int, device: str) -> float:
    """Estimate a training on pictures of this side, in one-thread seconds of the device."""
    return config.steps * config.batch * side**2 * config.width**2 / _FIT_UNITS[device]


def score_seconds(pictures: int, working_size: int | None, device: str) -> float:
    """Estimate scoring a benchmark, in one-thread seconds of the device."""
    return pictures * (working_size or 128) ** 2 * 1.5 / _SCORE_PIXELS[device]
