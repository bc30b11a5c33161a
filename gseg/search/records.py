"""The points of a search and what came out of them, as Parquet beside the rows.

``results/<name>_trials/`` holds one file with one line for each point: its settings (a column
each, empty where a setting does not vary or means nothing under the others), every objective that
was measured, how it ended, and the experiments behind it, by which its rows are found.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from gseg.pipeline.rows import writing_to
from gseg.pipeline.settings import Value
from gseg.search.objectives import OBJECTIVES
from gseg.search.space import searched_axes
from gseg.storage.digests import digest
from gseg.storage.files import replacing

State = Literal["complete", "pruned", "failed"]
_FILE: Final = "trials.parquet"
_TYPES: Final = {"number": pa.float64(), "count": pa.int64(), "word": pa.string()}
_JOIN: Final = ","

SCHEMA: Final = pa.schema(
    [
        ("point", pa.string()),
        ("number", pa.int64()),
        ("state", pa.string()),
        ("reason", pa.string()),
        *((name, _TYPES[setting.kind]) for name, setting in searched_axes().items()),
        *((f"objective_{name}", pa.float64()) for name in OBJECTIVES),
        ("last_percent", pa.int64()),
        ("last_held_out_loss", pa.float64()),
        ("last_held_out_iou", pa.float64()),
        ("seconds", pa.float64()),
        ("experiments", pa.string()),
        ("own_fault", pa.bool_()),
        ("labels_used", pa.bool_()),
    ]
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

    def __post_init__(self) -> None:
        assert self.state in get_args(State)

    @property
    def point(self) -> str:
        """Name by content: points with the same experiments are the same."""
        return digest("point", list(self.experiments))

    def row(self) -> dict[str, Any]:
        """Give it as a line of the file."""
        return {
            "point": self.point,
            "number": self.number,
            "state": self.state,
            "reason": self.reason,
            **self.parameters,
            **{f"objective_{name}": value for name, value in self.values.items()},
            "last_percent": self.percent,
            "last_held_out_loss": self.loss,
            "last_held_out_iou": self.iou,
            "seconds": self.seconds,
            "experiments": _JOIN.join(self.experiments),
            "own_fault": self.own_fault,
            "labels_used": self.labels_used,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Record":
        """Read a line of the file."""
        return cls(
            number=row["number"],
            parameters={name: row[name] for name in searched_axes() if row.get(name) is not None},
            experiments=tuple(row["experiments"].split(_JOIN)),
            state=row["state"],
            values={
                name: row[f"objective_{name}"]
                for name in OBJECTIVES
                if row.get(f"objective_{name}") is not None
            },
            reason=row["reason"] or "",
            percent=row["last_percent"],
            loss=row["last_held_out_loss"],
            iou=row["last_held_out_iou"],
            seconds=row["seconds"],
            own_fault=bool(row.get("own_fault")),  # not in the oldest files
            labels_used=row["labels_used"],
        )


def read_records(folder: Path) -> list[Record]:
    """Read the points of a search.

    Args:
        folder: Such as ``results/search_trials``; may be absent.

    Returns:
        The points, by number.

    Raises:
        ValueError: The file is damaged; the message names it.
    """
    path = folder / _FILE
    if not path.exists():
        return []
    try:
        rows = pq.read_table(path).to_pylist()
        found = [Record.of_row(row) for row in rows]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(
            f"Cannot read the search's points in {path}: {str(error).splitlines()[0]} Move the "
            "file away: points whose stages are in the storage are tried again in no time."
        ) from error
    return sorted(found, key=lambda record: record.number)


def keep_records(folder: Path, records: Iterable[Record]) -> None:
    """Add points to a search's file; a point with the same experiments replaces the older one.

    Args:
        folder: Such as ``results/search_trials``; made if missing.
        records: The points.
    """
    with writing_to(folder):
        merged = {record.point: record for record in (*read_records(folder), *records)}
        ordered: Sequence[Record] = sorted(merged.values(), key=lambda record: record.number)
        table = pa.Table.from_pylist([record.row() for record in ordered], schema=SCHEMA)
        with replacing(folder / _FILE) as part:
            pq.write_table(table, part, compression="zstd")
