"""The latents, labels and shift lengths of a search: functions of the seed and a counter."""

import torch
from torch import Tensor

from gseg.directions.config import SearchConfig
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, labels, latents, normals


def draw_codes(
    generator: Generator, config: SearchConfig, stream: str, step: int
) -> tuple[Tensor, Tensor | None, Tensor | float]:
    """Draw one batch of a named stream: a function of (seed, stream, step) alone.

    Args:
        generator: Its card says how wide latents are and how many classes there are.
        config: Gives seed, batch and epsilon.
        stream: Name of the stream.
        step: Number of the batch.

    Returns:
        Codes (N, D), labels (N,) or None, and epsilon: a number, or (N, D) where it is drawn.
    """
    card, device = generator.card, generator.device
    seed = derive_seed(config.seed, "direction", stream)
    rows = range(step * config.batch, (step + 1) * config.batch)
    code = generator.code(latents(seed, rows, card.latent_dim).to(device))
    y = labels(seed, rows, card.num_classes)
    if y is not None:
        y = y.to(device)
    if config.epsilon_std == 0:
        return code, y, config.epsilon
    noise = torch.from_numpy(normals(derive_seed(seed, "epsilon"), rows, card.code_dim))
    epsilon = config.epsilon + config.epsilon_std * noise.float()
    return code, y, epsilon.clamp(min=config.epsilon_min).to(device)
