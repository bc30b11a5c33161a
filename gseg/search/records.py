"""The points of a search and what came out of them, as Parquet beside the rows; the best of them.

``results/<name>_trials/`` holds one file with one line for each point: its settings (a column
each, empty where a setting does not vary or means nothing under the others), every objective that
was measured, how it ended, and the experiments behind it, by which its rows are found.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from gseg.downloads import check_rows, why_unreadable
from gseg.pipeline.settings import Value
from gseg.search.objectives import OBJECTIVES, Objective
from gseg.search.space import searched_axes
from gseg.storage.damage import DamagedError, is_damage, put_aside
from gseg.storage.digests import digest
from gseg.storage.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

State = Literal["complete", "pruned", "failed"]
_FILE: Final = "trials.parquet"
_JOIN: Final = ","
# Columns of the fields that a record has of its own.
_PLAIN: Final = {
    **{name: name for name in ("number", "state", "reason", "seconds")},
    **{name: name for name in ("own_fault", "labels_used", "scored_on")},
    **{"percent": "last_percent", "loss": "last_held_out_loss", "iou": "last_held_out_iou"},
}


def records_schema() -> "pa.Schema":
    """Give the columns of the file."""
    import pyarrow as pa

    text, number, count, flag = pa.string(), pa.float64(), pa.int64(), pa.bool_()
    kinds = {"number": number, "count": count, "word": text}
    return pa.schema(
        [
            *(("point", text), ("number", count), ("state", text), ("reason", text)),
            *((name, kinds[setting.kind]) for name, setting in searched_axes().items()),
            *((f"objective_{name}", number) for name in OBJECTIVES),
            *(("last_percent", count), ("last_held_out_loss", number)),
            *(("last_held_out_iou", number), ("seconds", number), ("experiments", text)),
            *(("own_fault", flag), ("labels_used", flag), ("scored_on", text)),
        ]
    )


# Those of pyarrow are of these kinds, too.
_UNREADABLE: Final = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError),
    NotImplementedError,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A point of a search, after it has been tried.

    Attributes:
        number: Its number in the search.
        parameters: Values of the settings that varied.
        experiments: Digests of its experiments, one for each seed.
        state: ``complete``; ``pruned``: stopped early as unpromising; ``failed``.
        values: Objectives by name; those that could be measured.
        reason: Why it failed, or at what it was stopped.
        percent: How far its first training was when it was last looked at; None for never.
        loss: Held-out loss at that time.
        iou: Held-out IoU at that time.
        seconds: How long it took in this search.
        own_fault: Whether it failed by its own fault, see `gseg.pipeline.failures`.
        labels_used: Whether the search that it belongs to chooses by labels.
        scored_on: Digest of the pictures whose labels those are and of how it is scored on them;
            empty without, and in files of older versions.
    """

    number: int
    parameters: Mapping[str, Value]
    experiments: tuple[str, ...]
    state: State
    values: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    percent: int | None = None
    loss: float | None = None
    iou: float | None = None
    seconds: float = 0.0
    own_fault: bool = False
    labels_used: bool = False
    scored_on: str = ""

    def __post_init__(self) -> None:
        assert self.state in get_args(State)

    @property
    def point(self) -> str:
        """Name by content: points with the same experiments are the same."""
        # Not by settings: what means nothing, or has another name now, would make two of one.
        return digest("point", list(self.experiments))

    def row(self) -> dict[str, Any]:
        """Give it as a line of the file."""
        return {
            "point": self.point,
            **{column: getattr(self, name) for name, column in _PLAIN.items()},
            **self.parameters,
            **{f"objective_{name}": value for name, value in self.values.items()},
            "experiments": _JOIN.join(self.experiments),
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Record":
        """Read a line of the file."""
        there = {name: value for name, value in row.items() if value is not None}
        # Older files have an objective's former name.
        measured = {
            name: there.get(f"objective_{name}", there.get(f"objective_{each.formerly}"))
            for name, each in OBJECTIVES.items()
        }
        return cls(
            # The oldest files have no column own_fault.
            **{name: there[column] for name, column in _PLAIN.items() if column in there},
            parameters={name: there[name] for name in searched_axes() if name in there},
            experiments=tuple(row["experiments"].split(_JOIN)),
            values={name: value for name, value in measured.items() if value is not None},
        )


def read_records(folder: Path) -> list[Record]:
    """Read the points of a search, by number.

    Args:
        folder: Such as ``results/search_trials``; may be absent.

    Raises:
        DamagedError: The file is damaged; the message names it.
    """
    import pyarrow.parquet as pq

    path = folder / _FILE
    if not os.path.lexists(path):
        return []
    try:
        with path.open("rb"):  # pyarrow takes a folder for a file of no rows
            check_rows(path, pq.read_metadata(path))
            table = pq.read_table(path, page_checksum_verification=True)
        kinds = {each.name: each.type for each in records_schema()}
        # Older files lack columns; none has one of another kind.
        for each in table.schema:
            if each.type != kinds.get(each.name, each.type):
                raise TypeError(f"{each.name} is {each.type}, expected {kinds[each.name]}.")
        found = [Record.of_row(row) for row in table.to_pylist()]
    except _UNREADABLE as error:
        if not is_damage(error):
            raise
        reason = why_unreadable(path, error) or type(error).__name__
        raise DamagedError(
            f"Cannot read the search's points in {path}: {reason}. The search's next run puts the "
            "file aside: points whose stages are in the storage are tried again in no time."
        ) from error
    return sorted(found, key=lambda record: record.number)


def heal_records(folder: Path, *, read_only: bool = False) -> list[Record]:
    """Read the points of a search; a damaged file is put aside, and counts as none.

    Args:
        folder: See `read_records`.
        read_only: Note the damage alone.
    """
    try:
        return read_records(folder)
    except DamagedError as error:
        put_aside(folder / _FILE, error, read_only=read_only)
        return []


def keep_records(folder: Path, records: Iterable[Record]) -> None:
    """Add points to a search's file; a point with the same experiments replaces the older one.

    Args:
        folder: Such as ``results/search_trials``; made if missing.
        records: The points.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from gseg.pipeline.rows import writing_to

    # Another run of the same search may write, too: read and replace under one lease.
    with writing_to(folder):
        merged = {record.point: record for record in (*read_records(folder), *records)}
        ordered = sorted(merged.values(), key=lambda record: record.number)
        table = pa.Table.from_pylist([each.row() for each in ordered], schema=records_schema())
        with replacing(folder / _FILE) as part:
            pq.write_table(table, part, compression="zstd", write_page_checksum=True)


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

    def costs(record: Record) -> list[float]:
        signs = ((each.name, 1 if each.goal == "min" else -1) for each in objectives)
        return [sign * record.values[name] for name, sign in signs]

    def beats(one: list[float], other: list[float]) -> bool:
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    known = [
        (costs(record), record.number, record)
        for record in records
        if record.state == "complete" and all(each.name in record.values for each in objectives)
    ]
    # Quadratic in the points, of which a search has hundreds.
    if len(objectives) > 1:
        known = [each for each in known if not any(beats(other[0], each[0]) for other in known)]
    # Ties by number, so that the order does not depend on the file's.
    return [record for *_, record in sorted(known, key=lambda each: (each[0][0], each[1]))]
