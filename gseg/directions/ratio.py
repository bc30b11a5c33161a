"""A label-free score of directions: what two affine colour maps explain better than one.

The restoration loss of Voynov et al. 2021 alone ranks directions that change nothing first.
`two_affine_ratio` divides it by the loss of a single affine map: 1 where one map explains the
shift as well as two, towards 0 where the picture falls into two parts.
"""

import math
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from gseg.directions.affine import AffineFit, fit_several, picture_batches
from gseg.directions.affine_config import AffineConfig
from gseg.directions.codes import shifted_pictures
from gseg.generators.contract import Generator

_NO_CHANGE: Final = 1e-6


def two_affine_ratio(
    originals: Tensor, shifted: Tensor, config: AffineConfig | None = None
) -> Tensor:
    """Score directions without labels: the loss of two maps over the loss of one.

    Args:
        originals: (N, 3, H, W) in [-1, 1].
        shifted: (K, N, 3, H, W), or (N, 3, H, W) for a single direction.
        config: Settings; by default the preset ``gseg`` on about all N pictures.

    Returns:
        (K,) ratios, or a scalar tensor for a single direction; low is good, 1 for a shift that
        changes nothing.
    """
    if shifted.ndim == 4:
        return two_affine_ratio(originals, shifted[None], config)[0]
    if config is None:
        config = AffineConfig(test_batches=math.ceil(len(originals) / AffineConfig().batch))
    batches = picture_batches(originals, shifted, config)
    two, one = fit_several(batches, [replace(config, maps=maps) for maps in (2, 1)])
    return loss_ratio(two, one)


def loss_ratio(two: AffineFit, one: AffineFit) -> Tensor:
    """Divide the restoration losses of two maps by those of one.

    Args:
        two: Fit of two maps for each direction.
        one: Fit of one map for each direction, to the same pictures.

    Returns:
        (K,) ratios; 1 for a shift that changes nothing.
    """
    changes = one.losses > _NO_CHANGE
    return torch.where(changes, two.losses / one.losses.clamp(min=_NO_CHANGE), 1.0)


def score_directions(
    generator: Generator,
    vectors: Tensor,
    *,
    epsilon: float = 1.0,
    pictures: int = 64,
    seed: int = 0,
) -> Tensor:
    """Score directions of a generator by `two_affine_ratio` on freshly generated pictures.

    Args:
        generator: A frozen generator.
        vectors: (K, D) unit vectors.
        epsilon: Length of the shift.
        pictures: Originals to generate.
        seed: Of latents and labels.

    Returns:
        (K,) ratios; low is good.
    """
    shown = shifted_pictures(generator, epsilon * vectors, range(pictures), seed=seed)
    return two_affine_ratio(*shown)
