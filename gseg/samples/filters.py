"""Which candidates become samples: histogram, components and area, with the reasons of rejection.

Voynov et al. 2021, section 3.4, filter synthetic masks by the shifted picture's histogram, by the
size of their components and by their area. The official programs of both papers apply other rules
under the same names; `preset` gives each source's own.

The rules are pure and look at one candidate at a time. A candidate that fails several is counted
under the first of `REASONS`. Area, roundness and agreement look at masks whose small components
are gone already, as in the official programs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gseg.samples.components import (
    Cleaned,
    Connectivity,
    agreement,
    keep_large_components,
    roundness,
)
from gseg.samples.histograms import HistogramRule, contrastive, count_maxima, histograms

FilterPreset = Literal["voynov2021_text", "voynov2021_program", "melas2022_program", "none"]

REASONS: Final = ("histogram", "empty", "components", "area", "agreement")
"""Reasons of rejection in the order in which they are attributed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterConfig:
    """Rules that decide which candidates are kept; the defaults are Voynov et al. 2021's text.

    Attributes:
        histogram: Rule for the shifted picture, see `histograms.count_maxima`; None for none.
            Where two shifted pictures are compared, both have to pass.
        histogram_bins: Bins over [-1, 1].
        histogram_window: Odd width of the smoothing.
        component_share: Components smaller than this share of the largest are cut away; this
            changes the mask and rejects nothing. 0 keeps all.
        component_strict: Whether a component of exactly that share goes, too.
        connectivity: 4 or 8.
        min_roundness: Reject (reason ``components``) if the largest component is not rounder than
            this, see `components.roundness`; None for no such rule. Off in every source.
        min_share: Least share of foreground, inclusive.
        max_share: Greatest share of foreground.
        max_share_strict: Whether exactly `max_share` is too much.
        each_direction: Masks of kind ``both`` only: share and roundness are tested on the two
            masks of Eq. (3), one for each direction, instead of on the mask of Eq. (2), as in the
            official program of Melas-Kyriazi et al. 2022.
        min_agreement: With `each_direction`: reject if the two masks agree on a smaller share of
            the pixels; 0 for no such rule.
        allow_empty: Whether a mask without foreground may be kept, as the programs let it happen.
    """

    histogram: HistogramRule | None = "text"
    histogram_bins: int = 12
    histogram_window: int = 3
    component_share: float = 0.2
    component_strict: bool = False
    connectivity: Connectivity = 4
    min_roundness: float | None = None
    min_share: float = 0.0
    max_share: float = 0.5
    max_share_strict: bool = False
    each_direction: bool = False
    min_agreement: float = 0.0
    allow_empty: bool = False

    def __post_init__(self) -> None:
        if self.histogram not in (None, "text", "program"):
            raise ValueError(
                f"Unknown histogram rule {self.histogram!r}; choose text, program or None."
            )
        if self.connectivity not in (4, 8):
            raise ValueError(f"connectivity is 4 or 8, got {self.connectivity}.")
        if self.histogram_window % 2 == 0 or not 1 <= self.histogram_window <= self.histogram_bins:
            raise ValueError(
                "histogram_window is an odd number up to histogram_bins "
                f"({self.histogram_bins}), got {self.histogram_window}."
            )
        if not 0 <= self.component_share < 1:
            raise ValueError(f"component_share is in [0, 1), got {self.component_share}.")
        if not 0 <= self.min_share <= self.max_share <= 1:
            raise ValueError(
                "The foreground shares need 0 <= min_share <= max_share <= 1, "
                f"got {self.min_share} and {self.max_share}."
            )
        if self.min_agreement > 0 and not self.each_direction:
            raise ValueError("min_agreement compares two masks: set each_direction=True as well.")


_PRESETS: Final[Mapping[str, FilterConfig]] = MappingProxyType(
    {
        "voynov2021_text": FilterConfig(),
        "voynov2021_program": FilterConfig(
            histogram="program",
            component_strict=True,
            connectivity=8,
            max_share_strict=True,
            allow_empty=True,
        ),
        "melas2022_program": FilterConfig(
            histogram="program",
            component_strict=True,
            connectivity=8,
            each_direction=True,
            allow_empty=True,
        ),
        "none": FilterConfig(histogram=None, component_share=0.0, max_share=1.0, allow_empty=True),
    }
)


def preset(name: FilterPreset) -> FilterConfig:
    """Give the rules of one source.

    Args:
        name: ``voynov2021_text`` (section 3.4; without the area rule on Flowers), the official
            programs ``voynov2021_program`` and ``melas2022_program``, or ``none``: every
            candidate is kept as it is.

    Returns:
        Its config.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in _PRESETS:
        raise ValueError(f"Unknown filter preset {name!r}; choose one of {', '.join(_PRESETS)}.")
    return _PRESETS[name]


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
