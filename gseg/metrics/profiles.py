"""Named profiles: what each source means by accuracy, IoU, Fβ and max Fβ."""

import difflib
import math
from dataclasses import dataclass
from typing import Final, Literal

ProfileName = Literal["melas2022_text", "melas2022_program", "voynov2021"]

LAST_THRESHOLD: Final = 254
"""The thresholds are k / 255 up to this k; a threshold of 1 would leave nothing above it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricProfile:
    """What one source means by its metrics.

    Attributes:
        name: Name in configs and rows.
        first_threshold: Thresholds of max Fβ are k / 255 for k from here to 254, compared by `>`.
        half_inclusive: Accuracy, IoU and Fβ take probability >= 0.5 instead of > 0.5.
        empty_union: IoU of an empty prediction of an empty mask.
        source: Where the rules are from, and what was assumed where it is silent.
    """

    name: ProfileName
    first_threshold: int
    half_inclusive: bool
    empty_union: float
    source: str


PROFILES: Final[dict[str, MetricProfile]] = {
    profile.name: profile
    for profile in (
        MetricProfile(
            name="melas2022_text",
            first_threshold=0,
            half_inclusive=False,
            empty_union=0.0,
            source="Melas-Kyriazi et al. 2022, section 4.2: 255 uniform thresholds between 0 and "
            "1. Assumed, because the text is silent: k / 255 from 0, and the program's rules.",
        ),
        MetricProfile(
            name="melas2022_program",
            first_threshold=1,
            half_inclusive=False,
            empty_union=0.0,
            source="lukemelas/unsupervised-image-segmentation: 254 thresholds, without 0.",
        ),
        MetricProfile(
            name="voynov2021",
            first_threshold=0,
            half_inclusive=True,
            empty_union=math.nan,
            source="anvoynov/BigGANsAreWatching: 255 thresholds from 0. It has no Fβ at 0.5; ours "
            "uses its rule for IoU.",
        ),
    )
}
"""All profiles by name."""


def metric_profile(name: str) -> MetricProfile:
    """Look up a profile.

    Args:
        name: One of `PROFILES`.

    Returns:
        The profile.

    Raises:
        ValueError: There is none of this name; the message suggests the nearest.
    """
    if name not in PROFILES:
        near = difflib.get_close_matches(name, PROFILES, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"Unknown metric profile {name!r}{hint} There are {', '.join(PROFILES)}.")
    return PROFILES[name]
