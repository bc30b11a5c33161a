"""A generator in closed form whose masks and direction are known.

Its pictures show one ellipse on a striped background. The latent, rotated by a fixed orthonormal
matrix, moves the ellipse's place and size, the exposure of the whole picture, the contrast of the
ellipse to the background, the stripes and both colours. Because nothing is learnt, every later
stage can be checked against the truth: moving along `known_direction` makes a pixel lighter where
`known_mask` holds and darker everywhere else.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn

from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator

_FACTORS: Final = 8
_X, _Y, _SIZE, _EXPOSURE, _CONTRAST, _STRIPES, _OBJECT_HUE, _BACKGROUND_HUE = range(_FACTORS)
_CONTRAST_GAIN: Final = 0.35
_EDGE_SHARPNESS: Final = 12.0


def analytic_generator(
    resolution: int = 32, latent_dim: int = _FACTORS, num_classes: int = 0
) -> Generator:
    """Make the generator.

    Args:
        resolution: Side of its pictures.
        latent_dim: Width of z, at least 8; what exceeds 8 changes nothing.
        num_classes: Classes, which turn the ellipse's hue; 0 for none.

    Returns:
        A generator whose pictures are smooth in z and stay inside (-1, 1).

    Raises:
        ValueError: The latent is too narrow, or the resolution is not positive.
    """
    if latent_dim < _FACTORS or resolution < 1:
        raise ValueError(
            f"The analytic generator needs latent_dim >= {_FACTORS} and resolution >= 1, "
            f"got {latent_dim} and {resolution}."
        )
    card = GeneratorCard(
        name=f"analytic.ellipses{resolution}",
        family="analytic",
        architecture="analytic",
        dataset="ellipses on stripes, in closed form",
        resolution=resolution,
        num_classes=num_classes,
        latent_dim=latent_dim,
        code_dim=latent_dim,
        supervision="class labels" if num_classes else "none",
        licence="MIT",
    )
    return Generator(_Ellipses(resolution, latent_dim, num_classes), card)


def known_direction(generator: Generator) -> Tensor:
    """Give the direction that makes the ellipse lighter and its background darker.

    Args:
        generator: From `analytic_generator`.

    Returns:
        (latent_dim,) float32 of unit length, on the generator's device.
    """
    return _rotation(generator.card.latent_dim)[_CONTRAST].to(generator.device)


def known_mask(code: Tensor, resolution: int) -> Tensor:
    """Give the exact foreground.

    Args:
        code: (N, latent_dim), what the pictures were made from.
        resolution: Side of the pictures.

    Returns:
        (N, resolution, resolution) bool, True inside the ellipse.
    """
    rotation = _rotation(code.shape[1]).to(code)
    return _level(code @ rotation.T, resolution) > 0


class _Ellipses(nn.Module):
    """The pictures as a function of the latent and the class."""

    def __init__(self, resolution: int, latent_dim: int, num_classes: int) -> None:
        super().__init__()
        self.resolution = resolution
        self.num_classes = num_classes
        self.rotation = nn.Parameter(_rotation(latent_dim), requires_grad=False)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Make pictures (N, 3, R, R) in (-1, 1) from z (N, latent_dim)."""
        factors = z @ self.rotation.T
        hue = factors[:, _OBJECT_HUE]
        if y is not None and self.num_classes > 0:
            hue = hue + y * (2 * math.pi / self.num_classes)
        contrast = _CONTRAST_GAIN * factors[:, _CONTRAST, None, None, None]
        inside = torch.sigmoid(_EDGE_SHARPNESS * _level(factors, self.resolution))[:, None]
        foreground = _colour(hue) + contrast
        background = _colour(factors[:, _BACKGROUND_HUE]) + self._stripes(factors) - contrast
        exposure = 0.25 * factors[:, _EXPOSURE, None, None, None]
        return torch.tanh(exposure + inside * foreground + (1 - inside) * background)

    def _stripes(self, factors: Tensor) -> Tensor:
        """Give (N, 1, R, R) waves whose angle is a factor of the latent."""
        x, y = _coordinates(self.resolution, factors)
        angle = factors[:, _STRIPES, None, None]
        waves = torch.sin(6 * (x * torch.cos(angle) + y * torch.sin(angle)))
        return 0.12 * waves[:, None]


def _level(factors: Tensor, resolution: int) -> Tensor:
    """Give (N, R, R): positive inside the ellipse, zero on it, negative outside."""
    x, y = _coordinates(resolution, factors)
    centre_x, centre_y, size = (
        torch.tanh(factors[:, factor, None, None]) for factor in (_X, _Y, _SIZE)
    )
    width = 0.5 * torch.exp(0.2 * size)
    height = 0.5 * torch.exp(0.2 * torch.sin(factors[:, _STRIPES, None, None]))
    return 1 - ((x - 0.25 * centre_x) / width) ** 2 - ((y - 0.25 * centre_y) / height) ** 2


def _coordinates(resolution: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Give the pixels' x (1, R) and y (R, 1) in (-1, 1)."""
    steps = torch.arange(resolution, device=like.device, dtype=like.dtype)
    line = (steps + 0.5) * (2 / resolution) - 1
    return line[None, :], line[:, None]


def _colour(hue: Tensor) -> Tensor:
    """Give (N, 3, 1, 1): a colour of the given hue whose channels sum to zero."""
    offsets = torch.arange(3, device=hue.device, dtype=hue.dtype) * (2 * math.pi / 3)
    return 0.4 * torch.cos(hue[:, None] - offsets)[:, :, None, None]


def _rotation(latent_dim: int) -> Tensor:
    """Give 8 orthonormal rows (8, latent_dim), of the discrete cosine transform."""
    steps = torch.arange(latent_dim, dtype=torch.float64) + 0.5
    orders = torch.arange(_FACTORS, dtype=torch.float64)[:, None]
    rows = torch.cos(math.pi / latent_dim * orders * steps) * math.sqrt(2 / latent_dim)
    rows[0] /= math.sqrt(2)
    return rows.float()
