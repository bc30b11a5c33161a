"""How far segmenters that differ by their seed alone agree: an objective without labels.

Settings that suit a generator lead to the same masks whatever the seed; where masks are noise,
another seed gives other noise. Plain agreement would reward trivial masks: "everything", "nothing"
or a disc in the centre of every picture are the same for every seed. So agreement is measured
against what the same masks would have by chance if each pixel's frequency of foreground, in the
place where it is, were all that they knew: Cohen's kappa with a chance of its own for each place.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Final

import torch
from torch import Tensor

from gseg.directions.codes import codes_and_labels
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed

PICTURES: Final = 64
"""Pictures that segmenters are compared on."""
_LEAST: Final = 1e-9


def agreement(masks: Tensor) -> float:
    """Measure how far masks of the same pictures agree, beyond chance.

    For two segmenters a and b, A is the share of pixels on which their masks agree, and A0 the
    share if b's masks were given to other pictures at random: the mean over places p of
    q_a(p) q_b(p) + (1 - q_a(p)) (1 - q_b(p)), where q(p) is the share of pictures in which p is
    foreground. The measure is (A - A0) / (1 - A0), the mean over all pairs of segmenters.

    Args:
        masks: (K, N, H, W) bool: of K >= 2 segmenters on N pictures.

    Returns:
        1 for the same masks everywhere, 0 for what chance gives and for masks that do not depend
        on the picture, negative for less than chance.

    Raises:
        ValueError: There are fewer than two segmenters, or no pictures.
    """
    if masks.ndim != 4 or len(masks) < 2 or masks.shape[1] < 1:
        raise ValueError(
            f"Agreement needs masks (K, N, H, W) of K >= 2 segmenters on N >= 1 pictures, got "
            f"{tuple(masks.shape)}."
        )
    pairs = [_kappa(first, second) for first, second in combinations(masks, 2)]
    return sum(pairs) / len(pairs)


def _kappa(first: Tensor, second: Tensor) -> float:
    observed = float((first == second).double().mean())
    q, r = first.double().mean(0), second.double().mean(0)
    chance = float((q * r + (1 - q) * (1 - r)).mean())
    return (observed - chance) / (1 - chance) if 1 - chance > _LEAST else 0.0


@torch.no_grad()
def common_pictures(generator: Generator, count: int = PICTURES) -> Tensor:
    """Generate the pictures that a generator's segmenters are compared on.

    Args:
        generator: A frozen generator.
        count: How many.

    Returns:
        (count, 3, R, R) float32 in [-1, 1], of a seed that no sample has.
    """
    code, y = codes_and_labels(generator, derive_seed(0, "stability", "latents"), range(count))
    pictures: Tensor = generator(code, y)
    return pictures.clamp(-1, 1)


def check_seeds(seeds: Sequence[int]) -> None:
    """Make sure that there is something to compare.

    Raises:
        ValueError: There are fewer than two seeds.
    """
    if len(set(seeds)) < 2:
        raise ValueError(
            "The objective 'stability' compares segmenters of several seeds: give two or more, "
            f"such as --seeds 0 1 2; got {', '.join(map(str, seeds)) or 'none'}."
        )
