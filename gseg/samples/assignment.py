"""Masks by which of two colour maps a pixel takes (Voynov et al. 2021, Eq. 5).

``affine``: the maps of the direction, fitted to many pictures. ``affine_each``: maps fitted to
each picture by itself (section 4.6). The foreground is where the lightening map comes closer.
"""

import torch
from torch import Tensor

from gseg.directions.affine import fit_each
from gseg.directions.colour_maps import ColourMaps, homogeneous_each
from gseg.directions.config import AffineConfig
from gseg.transfers import send


def shared_margins(maps: ColourMaps, original: Tensor, shifted: Tensor) -> Tensor:
    """Measure how much closer the lightening map of a direction comes than the darkening one.

    Args:
        maps: Of one direction, the lightening one first.
        original: (N, 3, H, W) in [-1, 1].
        shifted: The same pictures with a lighter foreground.

    Returns:
        (N, H, W), positive where the pixel is foreground. Not by a matrix product, whose last
        bits may depend on how many pictures there are.
    """
    left = []
    for weights in send(maps.weights[0], original.device):
        squares = torch.zeros_like(original[:, 0])
        for channel, row in enumerate(weights):
            mapped = row[0] * original[:, 0] + row[1] * original[:, 1] + row[2] * original[:, 2]
            mapped += row[3]
            if maps.clamped:
                mapped.clamp_(-1, 1)
            squares += mapped.sub_(shifted[:, channel]).square_()
        left.append(squares.sqrt_())
    return left[1] - left[0]


def own_margins(original: Tensor, shifted: Tensor) -> Tensor:
    """Fit maps to each picture, and measure how much closer the lightening one comes.

    Args:
        original: (N, 3, H, W) in [-1, 1].
        shifted: The same pictures with a lighter foreground.

    Returns:
        (N, H, W), positive where the pixel is foreground.
    """
    original, shifted = original.clamp(-1, 1), shifted.clamp(-1, 1)
    fit = fit_each(original, shifted, AffineConfig())
    margins = fit.maps.margins(homogeneous_each(original), shifted.flatten(2))
    return margins.view(len(original), *original.shape[2:])
