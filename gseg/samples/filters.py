"""Which candidates become samples, and why the others do not.

The rules (`gseg.samples.config.FilterConfig`) are pure and look at one candidate at a time. A
candidate that fails several is counted under the first of `REASONS`.

The histogram needs the shifted pictures alone, and what it rejects needs no mask: so the rules
come in two steps, `judge_histograms` and `judge_masks`; `judge` is both.

A shift that separates foreground from background leaves mostly dark and light pixels. Voynov et
al. 2021, section 3.4, and the official programs of both papers test that on a histogram of the
shifted picture, in two quite different ways.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.samples.components import Cleaned, keep_large_components, mask_agreement, roundness
from gseg.samples.config import REASONS, FilterConfig, HistogramRule
from gseg.samples.masks import brightness, cache_sized_parts

HISTOGRAM: Final = 1 + REASONS.index("histogram")
"""Code of that reason."""
_INT16_LIMIT: Final = 32768

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """What the filters say about N candidates.

    Attributes:
        masks: (N, H, W) bool without small components; meaningless where the histogram rejected.
        reasons: (N,) int64: 0 is accepted, k stands for ``REASONS[k - 1]``.
        statistics: (N,) arrays: ``foreground_share`` (float32), ``components`` (int64) and, with
            a histogram rule, ``histogram_maxima`` (int64; of the first shifted picture).
    """

    masks: Flags
    reasons: Numbers
    statistics: dict[str, NDArray[np.float32] | Numbers]

    @property
    def accepted(self) -> Flags:
        """(N,) bool."""
        return np.asarray(self.reasons == 0)

    def counts(self) -> dict[str, int]:
        """Number of candidates, of accepted ones, and of rejected ones by reason, in order."""
        return count_reasons(self.reasons)


def judge(
    masks: Tensor,
    shifted: Sequence[Tensor],
    config: FilterConfig,
    *,
    directions: Sequence[Tensor] = (),
    changes: Tensor | None = None,
) -> Verdicts:
    """Clean the masks of a batch of candidates and decide which to keep.

    Args:
        masks: (N, H, W) bool.
        shifted: The shifted pictures that the masks were made from, (N, 3, H, W) in [-1, 1] each.
        config: The rules.
        directions: (N, H, W) bool each: the masks of the single directions, which
            `FilterConfig.each_direction` tests.
        changes: (N,) mean absolute change of brightness, for `FilterConfig.min_contrast`.

    Raises:
        ValueError: The rules ask for the changes, and there are none.
    """
    found = judge_masks(
        masks.cpu().numpy(),
        config,
        directions=[single.cpu().numpy() for single in directions],
        changes=None if changes is None else changes.cpu().numpy(),
    )
    if config.histogram is None:
        return found
    bins = config.histogram_bins
    counts = [histograms(each, config.histogram, bins).cpu().numpy() for each in shifted]
    passed, maxima = judge_histograms(counts, config)
    return replace(
        found,
        reasons=np.where(passed, found.reasons, HISTOGRAM),
        statistics={"histogram_maxima": maxima, **found.statistics},
    )


def judge_histograms(counts: Sequence[Numbers], config: FilterConfig) -> tuple[Flags, Numbers]:
    """Apply the histogram rule, the one that needs no mask.

    Args:
        counts: (N, bins) of each shifted picture, from `histograms`.
        config: The rules, with a histogram rule.

    Returns:
        (N,) bool, True where all pictures are contrastive, and (N,) maxima of the first picture.
    """
    rule = config.histogram
    assert rule is not None
    maxima = [count_maxima(each, rule, config.histogram_window) for each in counts]
    passed = np.stack([contrastive(each, rule) for each in maxima]).all(axis=0)
    return np.asarray(passed), maxima[0]


def judge_masks(
    masks: Flags,
    config: FilterConfig,
    *,
    directions: Sequence[Flags] = (),
    changes: NDArray[np.float32] | None = None,
) -> Verdicts:
    """Apply all rules but that of the histogram; `judge` says what the arguments are.

    Returns:
        The verdicts; no maxima among the statistics. The masks given are left as they are.

    Raises:
        ValueError: The rules ask for the changes, and there are none.
    """
    # Area, roundness and agreement look at masks whose small components are gone already, as in the
    # official programs.
    kept = _clean(masks, config)
    tested, raw = [kept], [masks]
    if config.each_direction and directions:
        tested, raw = [_clean(single, config) for single in directions], list(directions)
    shares = np.stack([each.shares for each in tested])
    if config.area_first:
        shares = np.stack([each.mean(axis=(1, 2)) for each in raw])
    failures = _mask_rules(kept, tested, shares, config)
    if config.min_contrast is not None:
        if changes is None:
            raise ValueError("min_contrast needs the changes of brightness, got None.")
        failures["contrast"] = changes < np.float32(config.min_contrast)
    reasons = np.zeros(len(masks), dtype=np.int64)
    for code, reason in reversed(list(enumerate(REASONS, start=1))):
        if reason in failures:
            reasons[failures[reason]] = code  # the first one in order is written last
    return Verdicts(
        masks=kept.masks,
        reasons=reasons,
        statistics={
            "foreground_share": kept.shares.astype(np.float32),
            "components": kept.components,
        },
    )


def count_reasons(reasons: Numbers) -> dict[str, int]:
    """Count candidates, accepted ones, and rejected ones by reason, in order.

    Args:
        reasons: (N,) codes as in `Verdicts`.
    """
    totals = np.bincount(reasons, minlength=len(REASONS) + 1).tolist()
    return {"candidates": len(reasons), **dict(zip(("accepted", *REASONS), totals, strict=True))}


def mean_changes(differences: Tensor) -> Tensor:
    """Average the absolute `masks.brightness_difference` (N, H, W) over each candidate's pixels."""
    return torch.mean(differences.abs(), dim=(1, 2))


def _mask_rules(
    kept: Cleaned, tested: Sequence[Cleaned], shares: NDArray[np.float64], config: FilterConfig
) -> dict[str, Flags]:
    """Say for each reason which candidates fail it."""
    large = shares >= config.max_share if config.max_share_strict else shares > config.max_share
    failures: dict[str, Flags] = {}
    failures["area"] = np.asarray((large | (shares < config.min_share)).any(axis=0))
    if not config.allow_empty:
        failures["empty"] = kept.components == 0
    if config.min_roundness is not None:
        scores = [roundness(each.masks, connectivity=config.connectivity) for each in tested]
        failures["components"] = np.asarray(np.stack(scores).min(axis=0) <= config.min_roundness)
    if config.min_agreement > 0 and len(tested) > 1:
        shared = mask_agreement(*(each.masks for each in tested))
        failures["agreement"] = shared < config.min_agreement
    return failures


def _clean(masks: Flags, config: FilterConfig) -> Cleaned:
    return keep_large_components(
        masks,
        config.component_share,
        strict=config.component_strict,
        connectivity=config.connectivity,
    )


def histograms(pictures: Tensor, rule: HistogramRule, bins: int = 12) -> Tensor:
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
        places = scaled.to(torch.uint8)
        return torch.stack([(places == k).sum(dim=1) for k in range(bins)], dim=1)
    # One bincount for all pictures; short integers because it is bound by memory.
    dtype = torch.int16 if count * bins < _INT16_LIMIT else torch.int32
    first = torch.arange(0, count * bins, bins, dtype=dtype)
    places = scaled.to(dtype).add_(first[:, None])
    return torch.bincount(places.flatten(), minlength=count * bins).reshape(count, bins)


def count_maxima(counts: Numbers, rule: HistogramRule, window: int = 3) -> Numbers:
    """Count the local maxima of smoothed histograms that the rule looks at.

    ``program``: a moving sum with zeros beyond the ends; every bin that is at least as high as
    its neighbours counts, the first and the last included, each bin of a plateau for itself.

    ``text`` (Voynov et al. 2021, section 3.4): a moving average; only maxima outside the first
    and the last bin count, a plateau once.

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
        peaks: Numbers = np.count_nonzero(rises & falls, axis=1)
        return peaks
    # The paper does not say how the average treats the ends. Here it is taken over the bins that
    # exist: with zeros beyond them the second bin is never lower than the first, so nearly every
    # picture had a maximum there and was rejected. Times a common multiple it stays an integer.
    widths = _moving_sum(np.ones((1, counts.shape[1]), dtype=np.int64), window)
    averages = _moving_sum(counts, window) * (math.lcm(*widths.ravel().tolist()) // widths)
    maxima = np.zeros(len(counts), dtype=np.int64)
    last = np.zeros(len(counts), dtype=np.int64)
    for slope in np.sign(np.diff(averages, axis=1)).T:
        maxima += (last > 0) & (slope < 0)
        last = np.where(slope != 0, slope, last)
    return maxima


def contrastive(maxima: Numbers, rule: HistogramRule) -> Flags:
    """Decide from the maxima (N,) of the shifted picture's histogram; True is accepted."""
    # The text accepts no maximum between the ends, the programs ask for two anywhere.
    return maxima == 0 if rule == "text" else maxima >= 2


def _moving_sum(counts: Numbers, window: int) -> Numbers:
    half = window // 2
    padded = np.pad(counts, ((0, 0), (half, half)))
    views = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1)
    return np.asarray(views.sum(axis=-1))
