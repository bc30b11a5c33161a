"""Histogram filter: is the shifted picture contrastive enough?

A shift that separates foreground from background leaves mostly dark and light pixels. Voynov et
al. 2021, section 3.4, and the official programs of both papers test that on a histogram of the
shifted picture, in two quite different ways.
"""

import math
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.samples.masks import brightness, cache_sized_parts

HistogramRule = Literal["text", "program"]

_INT16_LIMIT: Final = 32768


def histograms(pictures: Tensor, rule: HistogramRule, bins: int = 12) -> NDArray[np.int64]:
    """Count brightness values in equal bins over [-1, 1]; see `histogram_counts`.

    Args:
        pictures: (N, 3, H, W) float32.
        rule: One of the two.
        bins: Number of bins.

    Returns:
        (N, bins) int64.
    """
    counts: NDArray[np.int64] = histogram_counts(pictures, rule, bins).cpu().numpy()
    return counts


def histogram_counts(pictures: Tensor, rule: HistogramRule, bins: int = 12) -> Tensor:
    """Count brightness values in equal bins over [-1, 1], where the pictures are.

    Args:
        pictures: (N, 3, H, W) float32; values outside [-1, 1] count in the outer bins.
        rule: ``text`` counts the luminance of each pixel, ``program`` the R, G and B values
            together.
        bins: Number of bins.

    Returns:
        (N, bins) int64 on the same device.
    """
    return torch.cat([_count(pictures[part], rule, bins) for part in cache_sized_parts(pictures)])


def _count(pictures: Tensor, rule: HistogramRule, bins: int) -> Tensor:
    planes = brightness(pictures, "luminance") if rule == "text" else pictures
    count = len(planes)
    middle = planes.new_full((), bins / 2)
    scaled = torch.add(middle, planes.reshape(count, -1), alpha=bins / 2).clamp_(0, bins - 1)
    if planes.device.type != "cpu":
        # Elsewhere bincount would wait for the device, to know how many bins there are.
        return _compare_with_bins(scaled.to(torch.uint8), bins)
    # One bincount for all pictures; short integers because it is bound by memory.
    dtype = torch.int16 if count * bins < _INT16_LIMIT else torch.int32
    first = torch.arange(0, count * bins, bins, dtype=dtype)
    places = scaled.to(dtype).add_(first[:, None])
    return torch.bincount(places.flatten(), minlength=count * bins).reshape(count, bins)


def _compare_with_bins(places: Tensor, bins: int) -> Tensor:
    return torch.stack([(places == k).sum(dim=1) for k in range(bins)], dim=1)


def count_maxima(
    counts: NDArray[np.int64], rule: HistogramRule, window: int = 3
) -> NDArray[np.int64]:
    """Count the local maxima of smoothed histograms that the rule looks at.

    ``program``: a moving sum with zeros beyond the ends; every bin that is at least as high as
    its neighbours counts, the first and the last included, each bin of a plateau for itself.

    ``text`` (Voynov et al. 2021, section 3.4): a moving average; only maxima outside the first
    and the last bin count, a plateau once. The paper does not say how the average treats the
    ends. Here it is taken over the bins that exist: with zeros beyond them the second bin is
    never lower than the first, so nearly every picture had a maximum there and was rejected.

    Args:
        counts: (N, bins) of non-negative integers.
        rule: One of the two.
        window: Odd width of the moving sum or average.

    Returns:
        (N,) int64.
    """
    if rule == "program":
        smooth = _moving_sum(counts, window)
        rises = np.pad(smooth[:, 1:] >= smooth[:, :-1], ((0, 0), (1, 0)), constant_values=True)
        falls = np.pad(smooth[:, :-1] >= smooth[:, 1:], ((0, 0), (0, 1)), constant_values=True)
        peaks: NDArray[np.int64] = np.count_nonzero(rises & falls, axis=1)
        return peaks
    slopes = np.sign(np.diff(_moving_average(counts, window), axis=1))
    maxima = np.zeros(len(counts), dtype=np.int64)
    last = np.zeros(len(counts), dtype=np.int64)
    for slope in slopes.T:
        maxima += (last > 0) & (slope < 0)
        last = np.where(slope != 0, slope, last)
    return maxima


def contrastive(maxima: NDArray[np.int64], rule: HistogramRule) -> NDArray[np.bool_]:
    """Decide from the maxima of the shifted picture's histogram.

    Args:
        maxima: (N,) from `count_maxima`.
        rule: ``text`` accepts no maximum between the ends, ``program`` asks for two anywhere.

    Returns:
        (N,) bool, True is accepted.
    """
    return maxima == 0 if rule == "text" else maxima >= 2


def _moving_sum(counts: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    half = window // 2
    padded = np.pad(counts, ((0, 0), (half, half)))
    views = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)
    return np.asarray(views.sum(axis=-1))


def _moving_average(counts: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """Average over the bins that exist, times a common multiple so that it stays an integer."""
    widths = _moving_sum(np.ones((1, counts.shape[1]), dtype=np.int64), window)
    multiple = math.lcm(*widths.ravel().tolist())
    return _moving_sum(counts, window) * (multiple // widths)
