"""Connected components of masks: small ones are artifacts, ragged ones are noise.

Voynov et al. 2021, section 3.4, drop every component that is smaller than 0.2 of the largest; the
official programs of both papers do the same, with another connectivity and a strict comparison.
"""

import math
from functools import lru_cache
from typing import Final, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from gseg.samples.config import Connectivity

# Length that a border pixel adds to a perimeter, by a code of which of its neighbours are border
# pixels as well: 1, plus 2 for each across an edge and 10 for each across a corner (Benkrid and
# Crookes 2000, as in scikit-image, which the official program calls).
_NEIGHBOUR_CODE: Final = ((10, 2, 10), (2, 1, 2), (10, 2, 10))
_CODE_LENGTHS: Final = {
    **dict.fromkeys((5, 7, 15, 17, 25, 27), 1.0),
    **dict.fromkeys((21, 33), math.sqrt(2)),
    **dict.fromkeys((13, 23), (1 + math.sqrt(2)) / 2),
}
# Components up to 5 % or from 90 % of the picture are not scored, as in the official program.
_ROUNDNESS_SHARES: Final = (0.05, 0.90)
# Bins of each label, which neighbouring pixels take in turn.
_TURNS: Final = 4
# Components that are compared with one by one, a third faster; for more a table is looked up.
_FEW: Final = 5


class Cleaned(NamedTuple):
    """Masks without their small components.

    Attributes:
        masks: (N, H, W) bool.
        components: (N,) int64, how many are left in each.
        shares: (N,) float64, share of foreground that is left.
    """

    masks: NDArray[np.bool_]
    components: NDArray[np.int64]
    shares: NDArray[np.float64]


def keep_large_components(
    masks: NDArray[np.bool_], share: float, *, strict: bool = False, connectivity: Connectivity = 4
) -> Cleaned:
    """Remove the components that are small next to the largest of their mask.

    Args:
        masks: (N, H, W) bool.
        share: Of the largest component's area, in [0, 1); 0 removes nothing.
        strict: Whether a component of exactly that share is removed (the official programs) or
            kept (Voynov et al. 2021, section 3.4).
        connectivity: 4 joins pixels by edges (the paper), 8 by corners too (the programs).

    Returns:
        New masks; the largest component always stays.
    """
    cleaned = np.ascontiguousarray(masks).copy()
    components = np.zeros(len(masks), dtype=np.int64)
    areas = np.zeros(len(masks))
    for index, mask in enumerate(cleaned):
        labels, sizes = _label(mask, connectivity)
        if len(sizes) == 0:
            continue
        relative = sizes / sizes.max()
        kept = np.flatnonzero(relative > share if strict else relative >= share)
        components[index] = len(kept)
        areas[index] = sizes[kept].sum()
        if len(kept) < len(sizes):
            _select(labels, kept + 1, out=mask)
    return Cleaned(cleaned, components, areas / max(masks[:1].size, 1))


def roundness(masks: NDArray[np.bool_], *, connectivity: Connectivity = 8) -> NDArray[np.float64]:
    """Measure how compact each mask's largest component is: area / perimeter^2.

    A disc of any size has about 1 / (4 pi) = 0.08 (official program of Melas-Kyriazi et al. 2022).
    A component that covers at most 5 % or at least 90 % of the picture scores 0.

    Args:
        masks: (N, H, W) bool.
        connectivity: 4 or 8.

    Returns:
        (N,) float64.
    """
    low, high = _ROUNDNESS_SHARES
    scores = np.zeros(len(masks))
    for index, mask in enumerate(masks):
        labels, areas = _label(mask, connectivity)
        if len(areas) and low * mask.size < areas.max() < high * mask.size:
            largest = labels == 1 + int(areas.argmax())
            scores[index] = areas.max() / _perimeter(largest) ** 2
    return scores


def mask_agreement(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Measure the share of pixels on which masks (N, H, W) agree: (N,) float64 in [0, 1]."""
    return np.asarray((first == second).mean(axis=(1, 2)))


def _label(
    mask: NDArray[np.bool_], connectivity: Connectivity
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Number the components from 1; areas leave the background out."""
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    # Counting labels afterwards is faster than OpenCV's own statistics with boxes and centroids.
    count, labels = cv2.connectedComponents(pixels, connectivity=connectivity)
    # Neighbours mostly have the same label, and adding to one bin has to wait for the addition
    # before: so every label gets a few bins, which neighbours take in turn.
    places = np.multiply(labels, _TURNS)
    places += _turns(*labels.shape)
    bins = torch.bincount(torch.from_numpy(places.ravel()), minlength=count * _TURNS)
    return np.asarray(labels), bins.view(count, _TURNS).sum(dim=1).numpy()[1:]


@lru_cache(maxsize=8)
def _turns(height: int, width: int) -> NDArray[np.int32]:
    return np.resize(np.arange(_TURNS, dtype=np.int32), height * width).reshape(height, width)


def _select(labels: NDArray[np.int32], kept: NDArray[np.int64], *, out: NDArray[np.bool_]) -> None:
    """Mark the pixels of the components that are kept."""
    if len(kept) > _FEW:
        table = np.zeros(labels.max() + 1, dtype=np.bool_)
        table[kept] = True
        table.take(labels, out=out)
        return
    np.equal(labels, kept[0], out=out)
    for component in kept[1:]:
        out |= labels == component


def _perimeter(region: NDArray[np.bool_]) -> float:
    padded = np.pad(region, 1).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    border = padded - cv2.erode(padded, cross)
    kernel = np.array(_NEIGHBOUR_CODE, dtype=np.float32)
    codes = cv2.filter2D(border, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    return sum(length * np.count_nonzero(codes == code) for code, length in _CODE_LENGTHS.items())
