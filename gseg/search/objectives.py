"""What a search makes small or large; without labels unless they are asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from gseg.pipeline.rows import Row
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.words import unknown

Goal = Literal["min", "max"]
LABELS_USED: Final = "labels used in a search"
"""What the column ``supervision`` of every row says that a search over labels produced."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One number for a point.

    Attributes:
        name: Its name.
        goal: Whether it shall be small or large.
        meaning: What it is.
        of_row: Gives it from a result row of one seed's trial; None for what compares seeds.
        needs_held_out: Whether held-out samples give it.
        uses_labels: Whether true masks decide it.
    """

    name: str
    goal: Goal
    meaning: str
    of_row: "Callable[[Row], float | None] | None"
    needs_held_out: bool = False
    uses_labels: bool = False


def _combined(row: "Row") -> float | None:
    """Multiply what is learnt of the masks by how far they are more than a change everywhere."""
    iou, ratio = row["validation_iou"], row["two_affine_ratio"]
    # Two maps never restore worse than one, up to the noise of the fit.
    return None if iou is None or ratio is None else iou * (1 - min(ratio, 1.0))


_LOSS, _IOU, _RATIO = map(itemgetter, ("validation_loss", "validation_iou", "two_affine_ratio"))
_TABLE: Final = (
    Objective(
        "held_out_loss", "min", "cross-entropy of a pixel on held-out generated pairs", _LOSS, True
    ),
    Objective("held_out_iou", "max", "IoU on held-out generated pairs", _IOU, True),
    Objective(
        "affine_score", "min", "restoration loss of two affine colour maps over that of one", _RATIO
    ),
    Objective("combined", "max", "held_out_iou x (1 - affine_score)", _combined, True),
    Objective("stability", "max", "agreement of the seeds' segmenters beyond chance", None),
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
OBJECTIVES: Final[Mapping[str, Objective]] = MappingProxyType({each.name: each for each in _TABLE})
"""Objectives by name."""


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
    found = tuple(_look_up(name) for name in names)
    if len(set(names)) < len(names):
        raise ValueError(f"An objective is given twice: {', '.join(names)}.")
    with_labels = [each.name for each in found if each.uses_labels]
    if with_labels and not use_labels:
        free = ", ".join(name for name, each in OBJECTIVES.items() if not each.uses_labels)
        raise ValueError(
            f"{', '.join(with_labels)} is measured with true masks, and a search that chooses by "
            f"labels is no longer unsupervised: search by one of {free}, or say --use-labels, "
            f"which marks every row '{LABELS_USED}'."
        )
    if any(each.of_row is None for each in found) and len(set(seeds)) < 2:
        raise ValueError(
            "The objective 'stability' compares segmenters of several seeds: give two or more, "
            f"such as --seeds 0 1 2; got {', '.join(map(str, seeds)) or 'none'}."
        )
    if validation_size == 0 and any(each.needs_held_out for each in found):
        raise ValueError("There are no held-out samples to measure: take another grid.")
    return found


def _look_up(name: str) -> Objective:
    if name not in OBJECTIVES:
        raise ValueError(unknown("objective", name, OBJECTIVES))
    return OBJECTIVES[name]


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
