"""True and false positives of each picture as a profile counts them.

The profile `sod` looks at a map of bytes that is stretched to [0, 1]. Which byte a pixel has, and
where stretching takes that byte, follow from the bins as well: no second pass over the pixels.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gseg.metrics.counts import ERROR_UNIT, STEPS, PixelHistogram
from gseg.metrics.profiles import MetricProfile

_HALF: Final = STEPS // 2
_BYTES: Final = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Pixel counts of N pictures in one profile.

    Attributes:
        pixels: (N,) all pixels.
        foreground: (N,) pixels of true foreground.
        half_true: (N,) true positives at 0.5.
        half_false: (N,) false positives at 0.5.
        curve_true: (N, T) true positives at the profile's thresholds, from low to high.
        curve_false: (N, T) false positives.
        error: (N,) float64, mean of |probability - truth|.
    """

    pixels: NDArray[np.int64]
    foreground: NDArray[np.int64]
    half_true: NDArray[np.int64]
    half_false: NDArray[np.int64]
    curve_true: NDArray[np.int64]
    curve_false: NDArray[np.int64]
    error: NDArray[np.float64]


def count_pixels(histogram: PixelHistogram, profile: MetricProfile) -> Confusion:
    """Count true and false positives.

    Args:
        histogram: Of N pictures.
        profile: The rules.

    Returns:
        Counts of the N pictures.
    """
    return _stretched(histogram) if profile.stretched else _plain(histogram, profile)


def _plain(histogram: PixelHistogram, profile: MetricProfile) -> Confusion:
    """Compare the probabilities themselves."""
    above = _counts_above(histogram.counts)
    pixels = above[:, :, 0].sum(1)
    half = above[:, :, 2 * _HALF + (1 if profile.half_inclusive else 2)]
    first = 4 * profile.first_threshold + 2  # the bin above an even step of the grid
    curve = above[:, :, first : first + 4 * len(profile.thresholds) : 4]
    return Confusion(
        pixels=pixels,
        foreground=above[:, 1, 0],
        half_true=half[:, 1],
        half_false=half[:, 0],
        curve_true=curve[:, 1],
        curve_false=curve[:, 0],
        error=histogram.error / (pixels * float(ERROR_UNIT)),
    )


def _stretched(histogram: PixelHistogram) -> Confusion:
    """Round to bytes and stretch each map, then compare."""
    levels = _bytes(histogram.counts)
    values = _stretch(levels.sum(1))
    chosen = levels * (values > 0.5)[:, None]
    curve = _counts_above(_move(levels, values))
    pixels = levels.sum((1, 2))
    error = np.einsum("nl,nl->n", levels[:, 0], values)
    error += np.einsum("nl,nl->n", levels[:, 1], 1 - values)
    return Confusion(
        pixels=pixels,
        foreground=levels[:, 1].sum(1),
        half_true=chosen[:, 1].sum(1),
        half_false=chosen[:, 0].sum(1),
        curve_true=curve[:, 1],
        curve_false=curve[:, 0],
        error=error / pixels,
    )


def _bytes(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum up the bins whose nearest byte is the same: (N, 2, 256).

    Byte q reaches from threshold 2q - 1 of the grid, inclusive, to threshold 2q + 1: four bins
    from 4q - 1 on.
    """
    levels = counts[:, :, 0::4] + counts[:, :, 1::4] + counts[:, :, 2::4]
    levels[:, :, 1:] += counts[:, :, 3:-1:4]
    return levels


def _stretch(levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Say where each byte of each picture goes: (N, 256), in the toolbox's own arithmetic."""
    there = levels > 0
    lowest = there.argmax(1)[:, None] / 255
    highest = (_BYTES - 1 - there[:, ::-1].argmax(1))[:, None] / 255
    values = np.broadcast_to(np.arange(_BYTES) / 255, levels.shape)
    flat = highest == lowest
    span = np.where(flat, 1.0, highest - lowest)
    return np.where(flat, values, (values - lowest) / span)


def _move(levels: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the pixels at each stretched byte; those that no pixel has do not matter."""
    count = len(levels)
    target = (values * 255).clip(0, 255).astype(np.int64)
    place = np.arange(2 * count).reshape(count, 2, 1) * _BYTES + target[:, None]
    moved = np.zeros(2 * count * _BYTES, np.int64)
    np.add.at(moved, place.ravel(), levels.ravel())
    return moved.reshape(count, 2, _BYTES)


def _counts_above(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the pixels in each bin and all higher ones."""
    return counts[:, :, ::-1].cumsum(2)[:, :, ::-1]
