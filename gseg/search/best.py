"""The best points of a search: sorted by one objective, or those that no other beats in all."""

from collections.abc import Sequence

from gseg.search.objectives import Objective
from gseg.search.records import Record


def best_points(records: Sequence[Record], objectives: Sequence[Objective]) -> list[Record]:
    """Pick and sort the points worth looking at.

    Args:
        records: Points of a search.
        objectives: One, or several.

    Returns:
        With one objective all complete points, best first. With several the Pareto front: the
        complete points that no other equals or beats in all objectives and beats in one; sorted
        by the first objective.
    """
    complete = [
        record
        for record in records
        if record.state == "complete" and all(each.name in record.values for each in objectives)
    ]
    if len(objectives) > 1:
        complete = [
            record
            for record in complete
            if not any(_beats(other, record, objectives) for other in complete)
        ]
    return sorted(complete, key=lambda record: (_cost(record, objectives[0]), record.number))


def _beats(one: Record, other: Record, objectives: Sequence[Objective]) -> bool:
    pairs = [(_cost(one, each), _cost(other, each)) for each in objectives]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _cost(record: Record, objective: Objective) -> float:
    value = record.values[objective.name]
    return value if objective.goal == "min" else -value
