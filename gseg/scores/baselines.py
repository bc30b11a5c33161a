"""Segmenters without learning, which every trained one should beat.

Both have the form of a segmenter's prediction: pictures (N, 3, H, W) float32 in [-1, 1] ->
(N, H, W) float32, here 0 or 1.
"""

from typing import Final

import torch
from torch import Tensor

from gseg.images import above_otsu, luminance

DISC_RADIUS: Final = 0.5
"""Radius of the centre disc, in halves of the shorter side: on a square, 20 % of the picture."""


def otsu(images: Tensor) -> Tensor:
    """Split each picture's luminance by Otsu's threshold; the side rarer on the border is object.

    The threshold is the grey level that maximises the variance between the classes (Otsu 1979,
    Eq. 18) over 256 levels; pixels above it are the bright side. A side that holds exactly half of
    the border counts as object if it is bright. A picture of one grey level has no foreground.

    Args:
        images: (N, 3, H, W) floating point in [-1, 1].

    Returns:
        (N, H, W) float32, 1 is foreground.
    """
    bright = above_otsu(luminance(images.float()), (-1, 1))
    border = torch.ones(bright.shape[1:], dtype=torch.bool, device=bright.device)
    border[1:-1, 1:-1] = False
    share = bright[:, border].float().mean(1)
    return (bright ^ (share > 0.5)[:, None, None]).float()


def centre_disc(images: Tensor) -> Tensor:
    """Call the disc in the centre foreground, whatever is in the picture.

    Args:
        images: (N, 3, H, W); only the shape is used.

    Returns:
        (N, H, W) float32: 1 within `DISC_RADIUS` times half of the shorter side of the centre.
    """
    count, _, height, width = images.shape
    y = torch.arange(height, device=images.device) - (height - 1) / 2
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    radius = DISC_RADIUS * min(height, width) / 2
    disc = y[:, None] ** 2 + x[None] ** 2 <= radius**2
    return disc.float().expand(count, -1, -1)
