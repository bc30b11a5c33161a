"""What is known without labels of masks, and of the segmenters that learnt them.

How far segmenters that differ by their seed alone agree is an objective without labels. Settings
that suit a generator lead to the same masks whatever the seed; where masks are noise, another seed
gives other noise. Plain agreement would reward trivial masks: "everything", "nothing" or a disc in
the centre of every picture are the same for every seed. So agreement is measured against what the
same masks would have by chance if each pixel's frequency of foreground, in the place where it is,
were all that they knew: Cohen's kappa with a chance of its own for each place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gseg.directions.affine import fixed_mask_residuals
from gseg.directions.codes import codes_and_labels
from gseg.directions.direction import Direction
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed
from gseg.samples.config import SampleConfig
from gseg.samples.masks import judged_masks, mask_pictures
from gseg.samples.thresholds import settled

PICTURES: Final = 64
"""Generated pictures that are looked at, with latents that no sample has."""
_LEAST: Final = 1e-9
_VALUES_AT_ONCE: Final = 2**22


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Look:
    """Generated pictures, and what settings of samples make of them.

    Attributes:
        pictures: (N, 3, R, R) in [-1, 1], the same for all settings.
        masks: (N, R, R) bool, before small components are cut away.
        mask_ratio: What two affine colour maps leave of the shift, one inside the masks and one
            outside, over what one map leaves; 1 where one explains as much.
    """

    pictures: Tensor
    masks: Tensor
    mask_ratio: float


def repetition(pictures: Tensor) -> float:
    """Say how much nearer the nearest other picture is than any other one.

    Args:
        pictures: (N, 3, R, R), N at least 2.

    Returns:
        1 less the quotient of the two mean distances of colours: 1 for a generator that makes the
        same few pictures again and again.
    """
    flat = pictures.flatten(1)
    apart = torch.cdist(flat, flat)
    mean = apart.sum() / (len(flat) * (len(flat) - 1))
    nearest = apart.fill_diagonal_(torch.inf).amin(1).mean()
    return 1 - float(nearest / mean.clamp(min=_LEAST))


@exact()
@torch.no_grad()
def look(generator: Generator, direction: Direction, config: SampleConfig) -> Look:
    """Make pictures and masks as the samples of a config are made, of latents from the prior.

    Args:
        generator: Its device does the work.
        direction: With the colour maps or the chosen threshold, if the masks need them.
        config: Kind, rule, threshold and length of shift of the masks.
    """
    config = settled(config, direction)
    # The same pictures for all settings, so that these can be compared.
    seed = derive_seed(0, "stability", "latents")
    code, y = codes_and_labels(generator, seed, range(PICTURES))
    original, moved = mask_pictures(generator, direction, config, code, y)
    original, moved = original.clamp(-1, 1), {k: each.clamp(-1, 1) for k, each in moved.items()}
    _, (masks, *_) = judged_masks(config, original, moved, direction.operators)
    left = [fixed_mask_residuals(original, each, masks) for each in moved.values()]
    two, one = (float(torch.stack(part).sum()) for part in zip(*left, strict=True))
    return Look(pictures=original, masks=masks, mask_ratio=two / one if one > _LEAST else 1.0)


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
    one, other = torch.triu_indices(len(masks), len(masks), offset=1)
    return float(pairwise_agreement(list(masks))[one, other].mean())


def pairwise_agreement(masks: Sequence[Tensor]) -> Tensor:
    """Measure the agreement of each two of K segmenters, see `agreement`.

    Args:
        masks: (N, H, W) bool of each.

    Returns:
        (K, K) float64, symmetric.
    """
    count, places = len(masks[0]), masks[0][0].numel()
    both = torch.zeros(len(masks), len(masks), dtype=torch.float64)
    frequency = torch.zeros(len(masks), places, dtype=torch.float64)
    # Some pictures of all at a time: together they may not fit.
    block = max(1, _VALUES_AT_ONCE // (len(masks) * places))
    for first in range(0, count, block):
        part = torch.stack([each[first : first + block].flatten(1) for each in masks]).cpu().float()
        flat = part.flatten(1)
        both += flat @ flat.T  # whole numbers, which float32 holds exactly
        frequency += part.sum(1)
    observed = _same(both / (count * places), frequency.sum(1) / (count * places))
    frequency /= count
    chance = _same(frequency @ frequency.T / places, frequency.mean(1))
    # Masks that are everything or nothing leave nothing to chance, and know nothing.
    known = 1 - chance > _LEAST
    return torch.where(known, (observed - chance) / torch.where(known, 1 - chance, 1.0), 0.0)


def _same(both: Tensor, shares: Tensor) -> Tensor:
    """Give the probabilities (K, K) that two are both foreground or both background."""
    return 1 - shares[:, None] - shares[None] + 2 * both
