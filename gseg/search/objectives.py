"""What searches and choices make small or large, each under one name; without labels by default.

The rules by which a direction is chosen among candidates (`gseg.directions.choosing`) are the same
objectives on another floor: `Objective.rule` points there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from gseg.directions.config import ChoiceRule
from gseg.samples.config import PLAUSIBLE_SHARES
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.words import unknown

if TYPE_CHECKING:
    from gseg.pipeline.rows import Row

Goal = Literal["min", "max"]
Scope = Literal["trial", "seeds", "trials", "directions"]
LABELS_USED: Final = "labels used in a search"
"""What the column ``supervision`` of every row says that a search over labels produced."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One number for a point.

    Attributes:
        name: Its name.
        goal: Whether it shall be small or large.
        meaning: What it is.
        of_row: Gives it from a result row of one seed's trial; None for what is looked at on
            fresh pictures (`gseg.search.evidence`).
        needs_held_out: Whether held-out samples give it.
        scope: What it compares: trials by themselves, those of several ``seeds`` of a point,
            finished ``trials`` that differ in anything, or ``directions`` of one generator.
        uses_labels: Whether true masks decide it.
        rule: Rule by which directions are chosen for it; None for none.
        formerly: Name that it had, by which it is still found.
    """

    name: str
    goal: Goal
    meaning: str
    of_row: "Callable[[Row], float | None] | None"
    needs_held_out: bool = False
    scope: Scope = "trial"
    uses_labels: bool = False
    rule: ChoiceRule | None = None
    formerly: str = ""


def _combined(row: "Row") -> float | None:
    """Multiply what is learnt of the masks by how far they are more than a change everywhere."""
    iou, ratio = row["validation_iou"], row["two_affine_ratio"]
    # Two maps never restore worse than one, up to the noise of the fit.
    return None if iou is None or ratio is None else iou * (1 - min(ratio, 1.0))


def _share_distance(row: "Row") -> float | None:
    share = row["foreground_share"]
    return None if share is None else share_distance(share)


def share_distance(share: float) -> float:
    """Say how far a share of foreground is from what objects take up; 0 for within."""
    low, high = PLAUSIBLE_SHARES
    return max(low - share, share - high, 0.0)


_LOSS, _IOU, _RATIO = map(itemgetter, ("validation_loss", "validation_iou", "two_affine_ratio"))
_TABLE: Final = (
    Objective(
        "held_out_loss", "min", "cross-entropy of a pixel on held-out generated pairs", _LOSS, True
    ),
    Objective("held_out_iou", "max", "IoU on held-out generated pairs", _IOU, True),
    Objective(
        "affine_ratio",
        "min",
        "restoration loss of two affine colour maps over that of one",
        _RATIO,
        rule="affine_ratio",
        formerly="affine_score",
    ),
    Objective("mask_ratio", "min", "the same where the masks say which map a pixel takes", None),
    Objective(
        "share_distance", "min", "how far the masks' foreground is from 2 to 60 %", _share_distance
    ),
    Objective(
        "voynov2021",
        "max",
        "distance of the two maps, among the 70 % of the directions that they restore best",
        None,
        rule="voynov2021",
        scope="directions",
    ),
    Objective("combined", "max", "held_out_iou x (1 - affine_ratio)", _combined, True),
    Objective(
        "stability",
        "max",
        "agreement of the seeds' segmenters beyond chance",
        None,
        scope="seeds",
    ),
    Objective(
        "mask_stability",
        "max",
        "agreement of the masks that the seeds' directions make, beyond chance",
        None,
        scope="seeds",
    ),
    Objective(
        "consensus",
        "max",
        "agreement beyond chance with the nearer half of the other trials' segmenters",
        None,
        scope="trials",
    ),
    Objective("agreed_iou", "max", "held_out_iou x consensus", None, True, scope="trials"),
    # What follows is measured with true masks: a search over it is no longer unsupervised.
    *(
        Objective(
            name,
            "min" if name == "mae" else "max",
            f"{name} on the first benchmark",
            itemgetter(name),
            uses_labels=True,
        )
        for name in ("iou", "accuracy", "f_beta", "max_f_beta", "mae")
    ),
)
OBJECTIVES: Final[Mapping[str, Objective]] = MappingProxyType(
    {each.name: each for each in _TABLE if each.scope in ("trial", "seeds")}
)
"""Objectives of searches by name."""
CRITERIA: Final[Mapping[str, Objective]] = MappingProxyType(
    {
        each.name: each
        for each in _TABLE
        if each.scope in ("trial", "trials") and not each.uses_labels
    }
)
"""Objectives that finished trials are chosen by (`gseg.search.choice`) by name."""
RULES: Final[Mapping[str, Objective]] = MappingProxyType(
    {each.rule: each for each in _TABLE if each.rule}
)
"""Those that directions are chosen for, by their rule."""
CHOICE: Final = "agreed_iou"
"""The criterion that chooses unless another is asked for."""
_FORMER: Final = {each.formerly: each.name for each in _TABLE if each.formerly}


def chosen_objectives(
    names: Sequence[str], *, use_labels: bool, seeds: Sequence[int], validation_size: int
) -> tuple[Objective, ...]:
    """Look objectives up, and make sure that they can be measured and are allowed.

    Args:
        names: At least one.
        use_labels: Whether the user has said that labels may decide.
        seeds: Trial seeds of each point.
        validation_size: Held-out samples.

    Raises:
        ValueError: One is unknown or given twice, needs labels without leave, more seeds, or
            held-out samples.
    """
    found = tuple(map(find_objective, names))
    if len(set(found)) < len(found):
        raise ValueError(f"An objective is given twice: {', '.join(names)}.")
    with_labels = [each.name for each in found if each.uses_labels]
    if with_labels and not use_labels:
        free = ", ".join(name for name, each in OBJECTIVES.items() if not each.uses_labels)
        raise ValueError(
            f"{', '.join(with_labels)} is measured with true masks, and a search that chooses by "
            f"labels is no longer unsupervised: search by one of {free}, or say --use-labels, "
            f"which marks every row '{LABELS_USED}'."
        )
    over_seeds = next((each.name for each in found if each.scope == "seeds"), "")
    if over_seeds and len(set(seeds)) < 2:
        raise ValueError(
            f"The objective {over_seeds!r} compares trials of several seeds: give two or more, "
            f"such as --seeds 0 1 2; got {', '.join(map(str, seeds)) or 'none'}."
        )
    if validation_size == 0 and any(each.needs_held_out for each in found):
        raise ValueError("There are no held-out samples to measure: take another grid.")
    return found


def find_objective(name: str) -> Objective:
    """Look up an objective of searches by its name, or by one that it had.

    Raises:
        ValueError: There is no such objective.
    """
    return _find("objective", name, OBJECTIVES)


def find_criterion(name: str) -> Objective:
    """Look up what finished trials may be chosen by, without labels.

    Raises:
        ValueError: There is no such criterion.
    """
    return _find("criterion", name, CRITERIA)


def _find(what: str, name: str, known: Mapping[str, Objective]) -> Objective:
    found = known.get(name) or known.get(_FORMER.get(name, ""))
    if found is None:
        raise ValueError(unknown(what, name, known))
    return found


def row_values(rows_of_seeds: "Sequence[Sequence[Row]]", *, labels: bool) -> dict[str, float]:
    """Measure a point by its rows.

    Args:
        rows_of_seeds: The rows of each seed's trial.
        labels: Whether to give the objectives that use labels, too.

    Returns:
        The mean over seeds of every objective that rows give and that was measured for all of
        them. Those that use labels are those of the first benchmark under the first of the
        default metric profiles.
    """
    profile, values = DEFAULT_PROFILES[0], {}
    first = [
        next(row for row in rows if row["metric_profile"] == profile) for rows in rows_of_seeds
    ]
    for name, objective in OBJECTIVES.items():
        if objective.of_row is None or (objective.uses_labels and not labels):
            continue
        found = [objective.of_row(row) for row in first]
        known = [value for value in found if value is not None]
        # A mean over some of the seeds would be compared with means over all.
        if known and len(known) == len(found):
            values[name] = sum(known) / len(known)
    return values


def with_mark(row: "Row") -> "Row":
    """Mark a row as one that a search over labels produced; class labels stay mentioned."""
    known = row["supervision"]
    if known.startswith(LABELS_USED):
        return row
    mark = LABELS_USED if known == "none" else f"{LABELS_USED}, {known}"
    return {**row, "supervision": mark}
