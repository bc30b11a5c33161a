"""Judge candidates: which become samples, and why the others do not.

The rules (`gseg.samples.filters`) are pure and look at one candidate at a time. A candidate that
fails several is counted under the first of `REASONS`. Area, roundness and agreement look at masks
whose small components are gone already, as in the official programs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gseg.samples.components import Cleaned, agreement, keep_large_components, roundness
from gseg.samples.filters import REASONS, FilterConfig
from gseg.samples.histograms import HistogramRule, contrastive, count_maxima, histograms


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
        totals = np.bincount(self.reasons, minlength=len(REASONS) + 1).tolist()
        return {
            "candidates": len(self.reasons),
            **dict(zip(("accepted", *REASONS), totals, strict=True)),
        }


def judge(
    masks: Tensor,
    shifted: Sequence[Tensor],
    config: FilterConfig,
    *,
    directions: Sequence[Tensor] = (),
) -> Verdicts:
    """Clean the masks of a batch of candidates and decide which to keep.

    Args:
        masks: (N, H, W) bool.
        shifted: The shifted pictures that the masks were made from, (N, 3, H, W) in [-1, 1] each.
        config: The rules.
        directions: (N, H, W) bool each: the masks of the single directions, which
            `FilterConfig.each_direction` tests.

    Returns:
        The cleaned masks, the reasons of rejection and what was measured.
    """
    cleaned = masks.cpu().numpy().copy()
    reasons = np.zeros(len(cleaned), dtype=np.int64)
    statistics: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {}
    if config.histogram is not None:
        passed, statistics["histogram_maxima"] = _histogram_rule(shifted, config.histogram, config)
        reasons[~passed] = 1 + REASONS.index("histogram")
    left = np.flatnonzero(reasons == 0)  # what follows costs more, and these alone need it
    kept = _clean(cleaned[left], config)
    tested = [kept]
    if config.each_direction and directions:
        tested = [_clean(single.cpu().numpy()[left], config) for single in directions]
    failures = _mask_rules(kept, tested, config)
    for reason in reversed(REASONS[1:]):  # the first one in order is written last
        reasons[left[failures[reason]]] = 1 + REASONS.index(reason)
    cleaned[left] = kept.masks
    statistics["foreground_share"] = np.zeros(len(cleaned), dtype=np.float32)
    statistics["foreground_share"][left] = kept.shares
    statistics["components"] = np.zeros_like(reasons)
    statistics["components"][left] = kept.components
    return Verdicts(masks=cleaned, reasons=reasons, statistics=statistics)


def _histogram_rule(
    shifted: Sequence[Tensor], rule: HistogramRule, config: FilterConfig
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    maxima = [
        count_maxima(
            histograms(pictures, rule, config.histogram_bins), rule, config.histogram_window
        )
        for pictures in shifted
    ]
    passed = np.stack([contrastive(each, rule) for each in maxima]).all(axis=0)
    return np.asarray(passed), maxima[0]


def _mask_rules(
    kept: Cleaned, tested: Sequence[Cleaned], config: FilterConfig
) -> dict[str, NDArray[np.bool_]]:
    """Say for each reason which candidates fail it."""
    nothing = np.zeros(len(kept.masks), dtype=np.bool_)
    failures: dict[str, NDArray[np.bool_]] = dict.fromkeys(REASONS[1:], nothing)
    if not config.allow_empty:
        failures["empty"] = kept.components == 0
    if config.min_roundness is not None:
        scores = [roundness(each.masks, connectivity=config.connectivity) for each in tested]
        failures["components"] = np.asarray(np.stack(scores).min(axis=0) <= config.min_roundness)
    shares = np.stack([each.shares for each in tested])
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
