"""Named profiles: what each source means by accuracy, IoU, Fβ and max Fβ."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from gseg.words import unknown

ProfileName = Literal["melas2022_text", "melas2022_program", "voynov2021", "sod"]

_LEVELS: Final = 255  # thresholds are multiples of 1 / 255


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricProfile:
    """What one source means by its metrics.

    Attributes:
        name: Name in configs and rows.
        first_threshold: Thresholds of max Fβ are k / 255 from this k on, up to 254 and compared by
            `>`; if the map is stretched, up to 255 and compared by `>=`.
        half_inclusive: Accuracy, IoU and Fβ take probability >= 0.5 instead of > 0.5.
        stretched: Probabilities become a map of bytes, as one is saved, and the map is stretched
            to reach from 0 to 1 before anything else.
        empty_union: IoU of an empty prediction of an empty mask.
        empty_score: Precision of an empty prediction, recall of an empty mask, Fβ of both.
        source: Where the rules are from, and what was assumed where it is silent.
    """

    name: ProfileName
    first_threshold: int = 0
    half_inclusive: bool = False
    stretched: bool = False
    empty_union: float = 0.0
    empty_score: float = 1.0
    source: str

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The thresholds of max Fβ and of the precision-recall curve, from low to high."""
        last = _LEVELS if self.stretched else _LEVELS - 1
        return tuple(k / _LEVELS for k in range(self.first_threshold, last + 1))


PROFILES: Final[dict[str, MetricProfile]] = {
    profile.name: profile
    for profile in (
        MetricProfile(
            name="melas2022_text",
            source="Melas-Kyriazi et al. 2022, section 4.2: 255 uniform thresholds between 0 and "
            "1. Assumed, because the text is silent: k / 255 from 0, and the program's rules.",
        ),
        MetricProfile(
            name="melas2022_program",
            first_threshold=1,
            source="lukemelas/unsupervised-image-segmentation: 254 thresholds, without 0.",
        ),
        MetricProfile(
            name="voynov2021",
            half_inclusive=True,
            empty_union=math.nan,  # 0 / 0 in the program
            source="anvoynov/BigGANsAreWatching: 255 thresholds from 0. It has no Fβ at 0.5; ours "
            "uses its rule for IoU.",
        ),
        MetricProfile(
            name="sod",
            stretched=True,
            empty_score=0.0,
            source="The toolbox of salient object detection, lartpang/PySODMetrics 1.6: maps of "
            "bytes, stretched to [0, 1], 256 thresholds by >=; accuracy, IoU and Fβ at 0.5 are its "
            "`binary` results. Assumed: probabilities are saved as the nearest byte.",
        ),
    )
}
"""All profiles by name."""


def metric_profile(name: str) -> MetricProfile:
    """Look up a profile.

    Raises:
        ValueError: There is none of this name; the message suggests the nearest.
    """
    if name not in PROFILES:
        raise ValueError(unknown("metric profile", name, PROFILES))
    return PROFILES[name]
