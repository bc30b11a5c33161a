"""Pictures and masks: value ranges, luminance, edges, and contact sheets.

Inside the library a picture is float32 in [-1, 1], NCHW; bytes occur at the edges (files, stored
samples) only.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from gseg.picture_files import to_pillow

LUMINANCE_WEIGHTS: Final = (0.2989, 0.5870, 0.1140)
"""ITU-R BT.601 weights of R, G and B, as both papers' programs round them."""
_TINT: Final = (255, 64, 64)
_LEVELS: Final = 256


def luminance(images: Tensor) -> Tensor:
    """Weigh the three channels into brightness.

    Args:
        images: (N, 3, H, W) floating point.

    Returns:
        (N, H, W), same dtype and range.
    """
    red, green, blue = LUMINANCE_WEIGHTS
    return red * images[:, 0] + green * images[:, 1] + blue * images[:, 2]


def sobel_gradients(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Apply the unnormalised Sobel-Feldman kernels [1 2 1] x [1 0 -1] with replicated borders.

    Args:
        planes: (N, H, W) floating point.

    Returns:
        Horizontal and vertical response, (N, H, W) each.
    """
    q = F.pad(planes[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    rows = q[:, :-2] + 2 * q[:, 1:-1] + q[:, 2:]  # [1 2 1] down, then differences across
    columns = q[:, :, :-2] + 2 * q[:, :, 1:-1] + q[:, :, 2:]
    return rows[:, :, 2:] - rows[:, :, :-2], columns[:, 2:] - columns[:, :-2]


def above_otsu(planes: Tensor, limits: tuple[float, float] | None = None) -> Tensor:
    """Split each plane by Otsu's threshold: what is above it.

    The threshold is the level that maximises the variance between the two classes (Otsu 1979,
    Eq. 18) over 256 levels. Nothing of a plane of one level is above it.

    Args:
        planes: (N, H, W) floating point.
        limits: Values of the lowest and the highest level; None for each plane's own least and
            greatest value.

    Returns:
        (N, H, W) bool; each plane's own, whatever the others are.
    """
    values = planes.float().flatten(1)
    if not values.numel():
        return torch.zeros_like(planes, dtype=torch.bool)
    if limits is None:
        low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    else:
        low, high = (values.new_full((len(values), 1), limit) for limit in limits)
    scale = (_LEVELS - 1) / (high - low).clamp(min=torch.finfo(values.dtype).tiny)
    # Clamped as integers, among which nothing is NaN.
    level = ((values - low) * scale).round_().long().clamp_(0, _LEVELS - 1)
    # Whole numbers: no order of adding up changes a bit. Not by bincount, which waits for a GPU.
    counts = level.new_zeros(len(level), _LEVELS).scatter_add_(1, level, torch.ones_like(level))
    share = counts.double() / level.shape[1]
    number = torch.arange(_LEVELS, dtype=torch.float64, device=level.device)
    dark, moment = share.cumsum(1), (share * number).cumsum(1)
    # Where a class is empty, numerator and denominator are both 0 and the variance counts as 0.
    spread = (dark * (1 - dark)).clamp(min=1e-12)
    variance = (moment[:, -1:] * dark - moment) ** 2 / spread
    return (level > variance.argmax(1)[:, None]).view(planes.shape)


def to_uint8(images: Tensor) -> Tensor:
    """Quantise pictures to bytes, clamping what leaves the range.

    Args:
        images: (..., H, W) floating point, nominally in [-1, 1].

    Returns:
        uint8 of the same shape: round((x + 1) * 127.5).
    """
    return images.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """Undo `to_uint8`.

    Args:
        pixels: (..., H, W) uint8.

    Returns:
        float32 of the same shape in [-1, 1].
    """
    # In place: large batches spend more time on fresh memory than on arithmetic.
    return pixels.to(torch.float32, copy=True).div_(127.5).sub_(1)


def to_pixels(picture: Tensor) -> Tensor:
    """Bring a picture or mask of any of our forms to displayable bytes.

    Args:
        picture: (3, H, W) uint8 or float in [-1, 1]; (H, W) bool, or float in [0, 1].

    Returns:
        (3, H, W) uint8.
    """
    if picture.dtype == torch.uint8:
        return picture
    if picture.ndim == 2:
        return picture.float().mul(255).round().to(torch.uint8).expand(3, -1, -1)
    return to_uint8(picture)


def tinted(pixels: Tensor, mask: Tensor) -> Tensor:
    """Darken the background by half and mix a tint into the foreground.

    Args:
        pixels: (3, H, W) uint8.
        mask: (H, W) bool.

    Returns:
        (3, H, W) uint8.
    """
    tint = torch.tensor(_TINT, dtype=torch.uint8).view(3, 1, 1)
    return torch.where(mask, pixels // 2 + tint // 2, pixels // 2)


def contact_sheet(
    rows: Sequence[Sequence[Tensor]],
    *,
    tile: int = 96,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> Image.Image:
    """Lay pictures out in a labelled grid.

    Args:
        rows: Rows of pictures in any form that `to_pixels` takes; sizes may differ.
        tile: Side of a cell in pixels; pictures keep their shape inside it.
        columns: Headings above the columns.
        labels: Names at the left of the rows.

    Returns:
        An RGB image.
    """
    gap = 4
    head = 20 if columns else 0
    side = max((int(7.0 * len(name)) + 10 for name in labels), default=0)
    width = side + (tile + gap) * max(len(row) for row in rows) + gap
    sheet = Image.new("RGB", (width, head + (tile + gap) * len(rows) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(columns):
        draw.text((side + gap + column * (tile + gap), 4), name, fill="black")
    for line, row in enumerate(rows):
        top = head + gap + line * (tile + gap)
        if line < len(labels):
            draw.text((5, top + tile // 2 - 6), labels[line], fill="black")
        for column, picture in enumerate(row):
            sheet.paste(_fit(picture, tile), (side + gap + column * (tile + gap), top))
    return sheet


def centre_distance(height: int, width: int) -> NDArray[np.float64]:
    """Measure each pixel's distance from the centre, 1 at the corners.

    Args:
        height: Rows.
        width: Columns.

    Returns:
        (height, width) float64 in [0, 1].
    """
    y = np.arange(height) - (height - 1) / 2
    x = np.arange(width) - (width - 1) / 2
    distance = np.sqrt(y[:, None] ** 2 + x[None] ** 2)
    return distance / max(math.hypot(height - 1, width - 1) / 2, 1e-12)


def _fit(picture: Tensor, tile: int) -> Image.Image:
    image = to_pillow(to_pixels(picture))
    scale = tile / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    cell = Image.new("RGB", (tile, tile), "white")
    cell.paste(image.resize(size, resampling), ((tile - size[0]) // 2, (tile - size[1]) // 2))
    return cell
