"""Judge candidates: which become samples, and why the others do not.

The rules (`gseg.samples.filters`) are pure and look at one candidate at a time. A candidate that
fails several is counted under the first of `REASONS`. Area, roundness and agreement look at masks
whose small components are gone already, as in the official programs.

The histogram needs the shifted pictures alone, and what it rejects needs no mask: so the rules
come in two steps, and `judge` is both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.samples.components import Cleaned, agreement, keep_large_components, roundness
from gseg.samples.filters import REASONS, FilterConfig
from gseg.samples.histograms import contrastive, count_maxima, histograms

HISTOGRAM = 1 + REASONS.index("histogram")
"""Code of that reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """What the filters say about N candidates.

    Attributes:
        masks: (N, H, W) bool without small components; meaningless where the histogram rejected.
        reasons: (N,) int64: 0 is accepted, k stands for ``REASONS[k - 1]``.
        statistics: (N,) arrays: ``foreground_share`` (float32), ``components`` (int64) and, with
            a histogram rule, ``histogram_maxima`` (int64; of the first shifted picture).
    """

    masks: NDArray[np.bool_]
    reasons: NDArray[np.int64]
    statistics: dict[str, NDArray[np.float32] | NDArray[np.int64]]

    @property
    def accepted(self) -> NDArray[np.bool_]:
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

    Returns:
        The cleaned masks, the reasons of rejection and what was measured.

    Raises:
        ValueError: The rules ask for the changes, and there are none.
    """
    cleaned = masks.cpu().numpy().copy()
    passed, maxima = np.ones(len(cleaned), dtype=np.bool_), None
    if config.histogram is not None:
        bins = config.histogram_bins
        counts = [histograms(pictures, config.histogram, bins) for pictures in shifted]
        passed, maxima = judge_histograms(counts, config)
    left = np.flatnonzero(passed)  # what follows costs more, and these alone need it
    found = judge_masks(
        cleaned[left],
        config,
        directions=[single.cpu().numpy()[left] for single in directions],
        changes=None if changes is None else changes.cpu().numpy()[left],
    )
    reasons = np.full(len(cleaned), HISTOGRAM)
    reasons[left] = found.reasons
    cleaned[left] = found.masks
    statistics: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {}
    if maxima is not None:
        statistics["histogram_maxima"] = maxima
    for name, values in found.statistics.items():
        statistics[name] = np.zeros(len(cleaned), dtype=values.dtype)
        statistics[name][left] = values
    return Verdicts(masks=cleaned, reasons=reasons, statistics=statistics)


def judge_histograms(
    counts: Sequence[NDArray[np.int64]], config: FilterConfig
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Apply the histogram rule, the one that needs no mask.

    Args:
        counts: (N, bins) of each shifted picture, from `histograms.histograms`.
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
    masks: NDArray[np.bool_],
    config: FilterConfig,
    *,
    directions: Sequence[NDArray[np.bool_]] = (),
    changes: NDArray[np.float32] | None = None,
) -> Verdicts:
    """Apply all rules but that of the histogram.

    Args:
        masks: (N, H, W) bool.
        config: The rules.
        directions: (N, H, W) bool each, see `judge`.
        changes: (N,) see `judge`.

    Returns:
        The verdicts; no maxima among the statistics.

    Raises:
        ValueError: The rules ask for the changes, and there are none.
    """
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
    for reason in reversed(REASONS[1:]):  # the first one in order is written last
        reasons[failures[reason]] = 1 + REASONS.index(reason)
    return Verdicts(
        masks=kept.masks,
        reasons=reasons,
        statistics={
            "foreground_share": kept.shares.astype(np.float32),
            "components": kept.components,
        },
    )


def count_reasons(reasons: NDArray[np.int64]) -> dict[str, int]:
    """Count candidates, accepted ones, and rejected ones by reason, in order.

    Args:
        reasons: (N,) codes as in `Verdicts`.

    Returns:
        Numbers by name.
    """
    totals = np.bincount(reasons, minlength=len(REASONS) + 1).tolist()
    return {"candidates": len(reasons), **dict(zip(("accepted", *REASONS), totals, strict=True))}


def mean_changes(differences: Tensor) -> Tensor:
    """Measure how much the shift changes each candidate's brightness.

    Args:
        differences: (N, H, W) from `masks.brightness_difference`.

    Returns:
        (N,) mean absolute difference, same dtype and device.
    """
    return torch.mean(differences.abs(), dim=(1, 2))


def _mask_rules(
    kept: Cleaned, tested: Sequence[Cleaned], shares: NDArray[np.float64], config: FilterConfig
) -> dict[str, NDArray[np.bool_]]:
    """Say for each reason which candidates fail it."""
    nothing = np.zeros(len(kept.masks), dtype=np.bool_)
    failures: dict[str, NDArray[np.bool_]] = dict.fromkeys(REASONS[1:], nothing)
    if not config.allow_empty:
        failures["empty"] = kept.components == 0
    if config.min_roundness is not None:
        scores = [roundness(each.masks, connectivity=config.connectivity) for each in tested]
        failures["components"] = np.asarray(np.stack(scores).min(axis=0) <= config.min_roundness)
    large = shares >= config.max_share if config.max_share_strict else shares > config.max_share
    failures["area"] = np.asarray((large | (shares < config.min_share)).any(axis=0))
    if config.min_agreement > 0 and len(tested) > 1:
        failures["agreement"] = agreement(tested[0].masks, tested[1].masks) < config.min_agreement
    return failures


def _clean(masks: NDArray[np.bool_], config: FilterConfig) -> Cleaned:
    return keep_large_components(
        masks,
        config.component_share,
        strict=config.component_strict,
        connectivity=config.connectivity,
    )
