"""Choose where masks are cut, without labels: at zero, or by Otsu's threshold.

A shift that separates foreground from background acts as one affine map of colours on each (Voynov
et al. 2021, Eq. (1)). Here the mask is given and the maps are fitted: of two thresholds the better
one leaves less of the shift unexplained. With a mask held fixed the fit is linear least squares.

The choice is made once for a generator and direction, from a fixed set of pictures, so that a mask
depends on nothing but its own pictures. Made for each picture by itself it was worse: where Otsu's
threshold is far better, single pictures often fit the smaller mask a little better.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, get_args

import torch

from gseg.directions.affine import fixed_mask_residuals
from gseg.directions.codes import codes_and_labels
from gseg.directions.direction import Direction
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed
from gseg.samples.config import PLAUSIBLE_SHARES, Cut, SampleConfig
from gseg.samples.masks import MASKS, brightness_difference, cut, mask_pictures

CHOSEN_FROM: Final = 256
"""Pictures that a choice looks at."""
_CHOSEN: Final = "mask_threshold"
_BATCH: Final = 32
_CUTS: Final[tuple[Cut, ...]] = get_args(Cut)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdScores:
    """What a choice of a threshold goes by, for each candidate.

    Attributes:
        ratios: Squared distance of colours that two maps leave, with the mask held fixed, over
            that of a single map, both summed over all pictures.
        shares: Mean share of foreground.
    """

    ratios: Mapping[Cut, float]
    shares: Mapping[Cut, float]

    @property
    def best(self) -> Cut:
        """The smallest ratio among those whose share is in .02 to .6; zero if there is none."""
        low, high = PLAUSIBLE_SHARES
        fit = [each for each, share in self.shares.items() if low <= share <= high]
        return min(fit, key=lambda each: self.ratios[each], default="zero")


def choose_threshold(generator: Generator, direction: Direction, config: SampleConfig) -> Direction:
    """Choose the threshold of a direction's masks.

    Args:
        generator: The one that the direction belongs to; its device does the work.
        direction: Stays as it is.
        config: Kind, rule and length of the shift; what else it says changes nothing.

    Returns:
        The same direction; the choice and its scores stand in the provenance, where samples that
        are drawn with ``choose`` find it.
    """
    scores = score_thresholds(generator, direction, config)
    facts = {"chosen": scores.best, "ratios": {**scores.ratios}, "shares": {**scores.shares}}
    return replace(direction, provenance={**direction.provenance, _CHOSEN: facts})


@exact()
@torch.no_grad()
def score_thresholds(
    generator: Generator, direction: Direction, config: SampleConfig, count: int = CHOSEN_FROM
) -> ThresholdScores:
    """Measure how well the masks of each threshold explain what the shift does to colours.

    Args:
        generator: Where pictures come from.
        direction: The shift vectors.
        config: See `choose_threshold`.
        count: Pictures, always the same ones, of all classes.
    """
    names = MASKS[config.mask_kind].pictures
    one, shares = 0.0, dict.fromkeys(_CUTS, 0.0)
    two = dict.fromkeys(_CUTS, 0.0)
    for first in range(0, count, _BATCH):
        rows = range(first, min(first + _BATCH, count))
        code, y = codes_and_labels(generator, derive_seed(0, "thresholds"), rows)
        original, moved = mask_pictures(generator, direction, config, code, y)
        shown = {k: each.clamp(-1, 1) for k, each in {"original": original, **moved}.items()}
        pictures = (shown["original"], shown.get("lighter"), shown.get("darker"))
        difference = brightness_difference(config.mask_kind, *pictures, rule=config.mask_rule)
        # What is compared is also what is mapped: the kind `mean` compares a picture with itself.
        after, before = (shown[name] for name in (*names, "original")[:2])
        for each in _CUTS:
            masks = cut(difference, each)
            left, single = fixed_mask_residuals(before, after, masks)
            two[each] += float(left.sum())
            shares[each] += float(masks.float().mean((1, 2)).sum()) / count
        one += float(single.sum())
    ratios = {each: left / one if one > 0 else 1.0 for each, left in two.items()}
    return ThresholdScores(ratios=ratios, shares=shares)


def settled(config: SampleConfig, direction: object) -> SampleConfig:
    """Put the threshold that was chosen for a direction in the place of ``choose``.

    Args:
        config: Of samples.
        direction: What they are drawn with, from `choose_threshold` if its choice is asked for.

    Raises:
        ValueError: Nothing has been chosen.
    """
    if config.mask_threshold != "choose":
        return config
    told: Mapping[str, Any] = getattr(direction, "provenance", {}).get(_CHOSEN, {})
    if told.get("chosen") not in _CUTS:
        raise ValueError(
            f"mask_threshold 'choose' needs a direction for which one of {', '.join(_CUTS)} was "
            f"chosen, got {told.get('chosen')!r}: call choose_threshold "
            "(gseg.samples.thresholds) first."
        )
    return replace(config, mask_threshold=told["chosen"])
