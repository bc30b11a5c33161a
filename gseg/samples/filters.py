"""The rules that decide which candidates become samples, by source.

Voynov et al. 2021, section 3.4, filter synthetic masks by the shifted picture's histogram, by the
size of their components and by their area. The official programs of both papers apply other rules
under the same names; `preset` gives each source's own. `gseg.samples.verdicts` applies them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal, get_args

from gseg.samples.components import Connectivity
from gseg.samples.histograms import HistogramRule

FilterPreset = Literal["gseg", "voynov2021_text", "voynov2021_program", "melas2022_program", "none"]

REASONS: Final = ("histogram", "contrast", "empty", "components", "area", "agreement")
"""Reasons of rejection in the order in which they are attributed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterConfig:
    """Rules that decide which candidates are kept.

    The defaults are those of Voynov et al. 2021, section 3.4, except for the histogram: the text
    asks for nothing but dark and light pixels, as a shift of 5 gives them with BigBiGAN; the
    milder shifts that suit small generators leave next to no sample by it. The rule of the
    official programs keeps most.

    Attributes:
        histogram: Rule for the shifted picture, see `histograms.count_maxima`; None for none.
            Where two shifted pictures are compared, both have to pass.
        histogram_bins: Bins over [-1, 1].
        histogram_window: Odd width of the smoothing.
        min_contrast: Reject (reason ``contrast``) if the absolute change of brightness, averaged
            over the pixels, is smaller: images whose shift makes no significant change in
            brightness (Melas-Kyriazi et al. 2022, section 3.2.1). No source gives a number; None,
            the default, is no such rule.
        component_share: Components smaller than this share of the largest are cut away; this
            changes the mask and rejects nothing. 0 keeps all.
        component_strict: Whether a component of exactly that share goes, too.
        connectivity: 4 or 8.
        min_roundness: Reject (reason ``components``) if the largest component is not rounder than
            this, see `components.roundness`; None for no such rule. Off in every source.
        min_share: Least share of foreground, inclusive.
        max_share: Greatest share of foreground.
        max_share_strict: Whether exactly `max_share` is too much.
        area_first: Whether shares are measured before small components are cut away, instead of
            after, as every source does.
        each_direction: Masks of kind ``both`` only: share and roundness are tested on the two
            masks of Eq. (3), one for each direction, instead of on the mask of Eq. (2), as in the
            official program of Melas-Kyriazi et al. 2022.
        min_agreement: With `each_direction`: reject if the two masks agree on a smaller share of
            the pixels; 0 for no such rule.
        allow_empty: Whether a mask without foreground may be kept, as the programs let it happen.
    """

    histogram: HistogramRule | None = "program"
    histogram_bins: int = 12
    histogram_window: int = 3
    min_contrast: float | None = None
    component_share: float = 0.2
    component_strict: bool = False
    connectivity: Connectivity = 4
    min_roundness: float | None = None
    min_share: float = 0.0
    max_share: float = 0.5
    max_share_strict: bool = False
    area_first: bool = False
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
        if self.min_contrast is not None and not self.min_contrast > 0:
            raise ValueError(f"min_contrast is above 0 or None, got {self.min_contrast}.")
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
        "gseg": FilterConfig(),
        "voynov2021_text": FilterConfig(histogram="text"),
        "voynov2021_program": FilterConfig(
            component_strict=True,
            connectivity=8,
            max_share_strict=True,
            allow_empty=True,
        ),
        "melas2022_program": FilterConfig(
            component_strict=True,
            connectivity=8,
            each_direction=True,
            allow_empty=True,
        ),
        "none": FilterConfig(histogram=None, component_share=0.0, max_share=1.0, allow_empty=True),
    }
)


def filter_preset(name: FilterPreset) -> FilterConfig:
    """Give the rules of one source.

    Args:
        name: ``gseg`` (the default), ``voynov2021_text`` (section 3.4; the paper leaves the area
            rule out on Flowers), the official programs ``voynov2021_program`` and
            ``melas2022_program``, or ``none``: every candidate is kept as it is.

    Returns:
        Its config.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in _PRESETS:
        raise ValueError(f"Unknown filter preset {name!r}; choose one of {', '.join(_PRESETS)}.")
    return _PRESETS[name]


def ablation(whole: FilterConfig) -> tuple[FilterConfig, ...]:
    """Take the rules one by one, as Table 4 of Voynov et al. 2021 does.

    That masks must not be empty belongs to the rule about their size.

    Args:
        whole: All rules, such as those of ``voynov2021_text``.

    Returns:
        No rules; those about the size; about the histogram too; and all.
    """
    size = replace(whole, histogram=None, component_share=0.0)
    return _PRESETS["none"], size, replace(size, histogram=whole.histogram), whole


def filter_preset_name(config: FilterConfig) -> str:
    """Say which rules these are.

    Args:
        config: The rules.

    Returns:
        The preset's name; ``size`` or ``size and histogram`` for a step of its `ablation` (with
        the preset's name if that is not ``voynov2021_text``), or ``custom``.
    """
    for name, whole in _PRESETS.items():
        if whole == config:
            return name
    for name in ("voynov2021_text", *(get_args(FilterPreset))):
        _, size, histogram, _ = ablation(_PRESETS[name])
        steps = {"size": size, "size and histogram": histogram}
        for step, found in steps.items():
            if found == config:
                return step if name == "voynov2021_text" else f"{step} ({name})"
    return "custom"
