"""Segmenters without learning, which every trained one should beat: rules that know nothing.

All have the form of a segmenter's prediction: pictures (N, 3, H, W) float32 in [-1, 1] ->
(N, H, W) float32, here 0 or 1; a picture's mask does not depend on the others beside it. A rule
cuts one number for each pixel by Otsu's threshold, or lets GrabCut (Rother et al. 2004) begin with
a rectangle; a chain lets it begin with a rule's mask. Words for people are in `gseg.scores.specs`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from gseg.images import above_otsu, from_uint8, luminance, to_uint8
from gseg.scores.specs import CHAINS

DISC_RADIUS: Final = 0.5
"""Radius of the centre disc, in halves of the shorter side: on a square, 20 % of the picture."""

# Width of the border, and of GrabCut's inset, of the shorter side: 2 pixels of 32.
_BORDER: Final = 1 / 16
# Standard deviation of the centre weight, in halves of each side.
_CENTRE: Final = 0.6
# Added to the variances of the border's colours, in squares of half the range: a border of one
# colour has none.
_NOISE: Final = 0.003
_NEIGHBOURS: Final = 5
_RECTANGLE_ITERATIONS: Final = 5
CHAIN_SIDE: Final = 64
"""Shorter side at which a chain works at least: below, GrabCut's models have too few pixels."""
_CHAIN_ITERATIONS: Final = 3
_UNUSED: Final = (0, 0, 1, 1)  # GrabCut's rectangle, where it begins with a mask
_AT_ONCE: Final = 500

Masks = NDArray[np.uint8]


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
    return _rarer_on_border(above_otsu(luminance(images.float()), (-1, 1)))


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


def _saturation(images: Tensor) -> Tensor:
    """Split the strength of colour, as `otsu` does the luminance."""
    return _rarer_on_border(above_otsu(_norm(_chroma(images))))


def _from_border(
    distance: Callable[[Tensor], Tensor], images: Tensor, *, centred: bool = False
) -> Tensor:
    """Call foreground what is far from the border's colours, by Otsu's threshold.

    Args:
        distance: (N, 3, H, W) float64 -> (N, H, W).
        images: (N, 3, H, W).
        centred: Whether distances count less towards the border, by a Gaussian.
    """
    found = distance(images)
    if centred:
        y, x = (torch.linspace(-1, 1, side, dtype=found.dtype) for side in found.shape[1:])
        squares = y[:, None] ** 2 + x**2
        found = found * torch.exp(-squares / (2 * _CENTRE**2)).to(found.device)
    return above_otsu(found).float()


def _border_chroma(images: Tensor) -> Tensor:
    chroma = _chroma(images)
    mean = chroma[:, :, _border(images)].mean(2)
    return _norm(chroma - mean[:, :, None, None])


def _mahalanobis_chroma(images: Tensor) -> Tensor:
    return _mahalanobis(_chroma(images))


def _mahalanobis(values: Tensor) -> Tensor:
    """Measure how far a pixel is from the mean of the border's, in its standard deviations."""
    values = values.double()
    border = values[:, :, _border(values)]
    mean = border.mean(2)
    border = border - mean[:, :, None]
    # Sums over channels one by one: last bits of a matrix product depend on the batch.
    covariance = torch.stack([(border[:, i, None] * border).mean(2) for i in range(3)], 1)
    inverse = torch.linalg.inv(covariance + _NOISE * torch.eye(3, device=values.device))
    offset = values - mean[:, :, None, None]
    squares = torch.zeros_like(offset[:, 0])
    for i in range(3):
        for j in range(3):
            squares += inverse[:, i, j, None, None] * offset[:, i] * offset[:, j]
    return squares.clamp(min=0).sqrt()


def _nearest_border(images: Tensor) -> Tensor:
    """Measure the mean distance to the nearest of the border's colours."""
    border = _border(images).cpu().numpy()
    found = []
    for picture in images.double().cpu().numpy().transpose(0, 2, 3, 1):
        colours = picture[border]
        distances, _ = KDTree(colours).query(
            picture.reshape(-1, 3), k=range(1, min(_NEIGHBOURS, len(colours)) + 1)
        )
        found.append(distances.mean(1).reshape(border.shape))
    stacked = np.stack(found) if found else np.empty((0, *border.shape))
    return torch.from_numpy(stacked).to(images.device)


def _grabcut(images: Tensor) -> Tensor:
    """Let GrabCut begin with all but the border."""
    height, width = images.shape[2:]
    inside = ~_border(images).cpu().numpy()
    start = np.where(inside, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    starts = np.broadcast_to(start, (len(images), height, width))
    return _grabcut_from(images, starts, _RECTANGLE_ITERATIONS)


def _chained(start: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Let GrabCut begin with a rule's mask, small pictures enlarged."""
    masks = start(images)
    height, width = images.shape[2:]
    factor = max(1.0, CHAIN_SIDE / min(height, width))
    large = [round(side * factor) for side in (height, width)]
    pictures = F.interpolate(images.float(), large, mode="bicubic")
    enlarged = F.interpolate(masks[:, None], large, mode="nearest-exact")[:, 0].cpu().numpy() > 0.5
    starts = np.where(enlarged, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    found = _grabcut_from(pictures, starts, _CHAIN_ITERATIONS)
    return (F.adaptive_avg_pool2d(found, (height, width)) >= 0.5).float()


def _grabcut_from(images: Tensor, starts: Masks, iterations: int) -> Tensor:
    """Run GrabCut on each picture; a start that is all of one kind stays as it is."""
    pixels = to_uint8(images).cpu().numpy().transpose(0, 2, 3, 1)
    found = np.empty(starts.shape, dtype=np.float32)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for row, (picture, start) in enumerate(zip(pixels, starts, strict=True)):
            mask = start.copy()
            sides = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
            if sides.any() and not sides.all():
                cv2.setRNGSeed(0)  # it starts its colour models by k-means
                bgr = np.ascontiguousarray(picture[..., ::-1])
                back, front = np.zeros((1, 65)), np.zeros((1, 65))
                cv2.grabCut(bgr, mask, _UNUSED, back, front, iterations, cv2.GC_INIT_WITH_MASK)
            found[row] = np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))
    finally:
        cv2.setNumThreads(threads)
    return torch.from_numpy(found).to(images.device)


def _chroma(images: Tensor) -> Tensor:
    """Take the luminance away: (N, 3, H, W) float64."""
    images = images.double()
    return images - luminance(images)[:, None]


def _norm(vectors: Tensor) -> Tensor:
    return vectors.square().sum(1).sqrt()


def _border(images: Tensor) -> Tensor:
    """Mark the pixels near the picture's border: (H, W) bool."""
    height, width = images.shape[2:]
    wide = max(1, round(min(height, width) * _BORDER))
    border = torch.ones(height, width, dtype=torch.bool, device=images.device)
    border[wide:-wide, wide:-wide] = False
    return border


def _rarer_on_border(high: Tensor) -> Tensor:
    """Call that side foreground which has less than half of the outermost pixels."""
    border = torch.ones(high.shape[1:], dtype=torch.bool, device=high.device)
    border[1:-1, 1:-1] = False
    share = high[:, border].float().mean(1)
    return (high ^ (share > 0.5)[:, None, None]).float()


_SINGLES: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "otsu": otsu,
    "centre_disc": centre_disc,
    "saturation": _saturation,
    "border_chroma": partial(_from_border, _border_chroma),
    "border_chroma_centred": partial(_from_border, _border_chroma, centred=True),
    "mahalanobis": partial(_from_border, _mahalanobis),
    "mahalanobis_centred": partial(_from_border, _mahalanobis, centred=True),
    "mahalanobis_chroma": partial(_from_border, _mahalanobis_chroma),
    "mahalanobis_chroma_centred": partial(_from_border, _mahalanobis_chroma, centred=True),
    "nearest_border": partial(_from_border, _nearest_border),
    "grabcut": _grabcut,
}
BASELINES: Final[Mapping[str, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {**_SINGLES, **{name: partial(_chained, _SINGLES[start]) for name, start in CHAINS.items()}}
)
"""The rules of `gseg.scores.specs.RULES`: what each computes."""


def rule_masks(name: str, pictures: Tensor) -> Tensor:
    """Make a rule's masks of many pictures.

    Args:
        name: Of the rule.
        pictures: (N, 3, H, W) uint8.

    Returns:
        (N, H, W) bool.
    """
    starts = range(0, len(pictures), _AT_ONCE)
    parts = [from_uint8(pictures[start : start + _AT_ONCE]) for start in starts]
    return torch.cat([BASELINES[name](part) > 0.5 for part in parts])
