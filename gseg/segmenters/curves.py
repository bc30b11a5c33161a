"""Loss curves of finished and unfinished trainings, as tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from torch import Tensor

from gseg.downloads import why_unreadable
from gseg.segmenters.checkpoint import Measurement, read_curve

_FILE: Final = "losses.parquet"
_UNFINISHED: Final = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curve:
    """How a training went.

    Attributes:
        name: Of its folder.
        finished: Whether it has ended.
        table: See `curve_table`.
    """

    name: str
    finished: bool
    table: pd.DataFrame


def curve_table(losses: Tensor, validation: Sequence[Measurement]) -> pd.DataFrame:
    """Put a training's losses and held-out measurements into one table.

    Args:
        losses: (steps,) float32.
        validation: Measurements on held-out pairs.

    Returns:
        A line for each step: ``step`` from 1, ``loss``, ``validation_iou`` and
        ``validation_loss`` (empty where nothing was measured).
    """
    curve = pd.DataFrame({"step": range(1, len(losses) + 1), "loss": losses.numpy()})
    measured = pd.DataFrame(
        [(each.step, each.iou, each.loss) for each in validation],
        columns=["step", "validation_iou", "validation_loss"],
    ).astype({"step": "int64", "validation_iou": "float64", "validation_loss": "float64"})
    return curve.merge(measured, how="left", on="step")


def find_curves(path: str | Path) -> list[Curve]:
    """Find the trainings under a path.

    Args:
        path: A sweep's storage, a folder ``segmenter/<hash>`` of it, or its ``losses.parquet``.

    Returns:
        At least one curve, in the order of the folders' names; a training that is still running
        or was killed is there as far as its last checkpoint.

    Raises:
        ValueError: There is nothing there, or a file is damaged; the message names it.
    """
    place = Path(path)
    if place.is_file():
        return [_read(place)]
    found = sorted(_files(place), key=lambda file: file.parent.name)
    if not found:
        raise ValueError(
            f"{place} holds no loss curves; expected a sweep's storage, a folder segmenter/<hash> "
            f"of it, or a file {_FILE}."
        )
    return [_read(file) for file in found]


def _files(place: Path) -> Iterator[Path]:
    for pattern in ("", "*/", "segmenter/*/"):
        finished = {file.parent: file for file in place.glob(f"{pattern}{_FILE}")}
        unfinished = {file.parent: file for file in place.glob(f"{pattern}{_UNFINISHED}")}
        yield from (unfinished | finished).values()


def _read(file: Path) -> Curve:
    name = file.absolute().parent.name
    if file.name == _UNFINISHED:
        return Curve(name=name, finished=False, table=curve_table(*read_curve(file)))
    try:
        table = pq.read_table(file).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(
            f"Cannot read the loss curve {file}: {why_unreadable(file, error)}"
        ) from error
    missing = {"step", "loss"} - set(table.columns)
    if missing:
        raise ValueError(f"{file} is no loss curve: it has no column {', '.join(sorted(missing))}.")
    numbers = table[["step", "loss"]].select_dtypes("number")
    if table.empty or numbers.shape[1] < 2 or table["step"].isna().any():
        raise ValueError(
            f"{file} is no loss curve: expected a number of the step and a loss in each line."
        )
    return Curve(name=name, finished=True, table=table)
