"""Loss curves for people: a picture, and event files for TensorBoard."""

import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from platform import node
from tempfile import TemporaryDirectory
from typing import Final

import pandas as pd
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.trial import find_parts
from gseg.reports.charts import drawing, save_picture
from gseg.segmenters.curves import Curve, find_curves
from gseg.storage.files import replacing

_MOST_NAMED: Final = 12
# A loss is drawn as its mean over this share of the steps, and thinly as it is.
_SMOOTHED_SHARE: Final = 0.02
_FEW_CURVES: Final = 3
_TAGS: Final = {
    "loss": "training/loss",
    "validation_loss": "held_out/loss",
    "validation_iou": "held_out/iou",
}


def curves_figure(path: Path, curves: Sequence[Curve], *, title: str = "") -> None:
    """Draw the losses of trainings, and what was measured on held-out pairs.

    Args:
        path: PNG file.
        curves: At least one.
        title: Above the figure.
    """
    measured = any(len(_measured(curve, "validation_iou")) for curve in curves)
    with drawing(9 if measured else 6, 3.8, title) as figure:
        axes = figure.subplots(1, 2 if measured else 1, squeeze=False)[0]
        axes[0].set(xlabel="step", ylabel="cross-entropy", yscale="log")
        axes[0].set_title("training (smooth), held out (dots)")
        for number, curve in enumerate(curves):
            look = {"color": f"C{number % 8}", "markersize": 3}
            name = curve.name if curve.finished else f"{curve.name} (unfinished)"
            steps, loss = curve.table["step"], curve.table["loss"]
            if len(curves) <= _FEW_CURVES:
                axes[0].plot(steps, loss, linewidth=0.5, alpha=0.3, **look)
            window = max(1, math.ceil(_SMOOTHED_SHARE * len(loss)))
            axes[0].plot(steps, loss.rolling(window, min_periods=1).mean(), label=name, **look)
            for panel, column, line in ((0, "validation_loss", "o"), (-1, "validation_iou", "o-")):
                values = _measured(curve, column)
                axes[panel].plot(values.index, values, line, **look)
        if measured:
            axes[1].set(xlabel="step", ylabel="IoU on held-out pairs")
        if len(curves) <= _MOST_NAMED:
            axes[0].legend(fontsize=8)
        save_picture(figure, path)


def write_events(folder: Path, curve: Curve) -> bool:
    """Write a training's curves as an event file of TensorBoard, once.

    Args:
        folder: The run's; made, whole or not at all.
        curve: A finished training.

    Returns:
        Whether it was written; False if the folder is there already.
    """
    if folder.exists():
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    # TensorBoard reads folders while they are written: this one gets its name when it is whole.
    with TemporaryDirectory(prefix=".", dir=folder.parent) as place:
        file = Path(place) / folder.name / f"events.out.tfevents.{int(time.time())}.{node()}"
        with replacing(file) as part, closing(RecordWriter(str(part))) as writer:
            writer.write(
                Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()
            )
            for event in _events(curve):
                writer.write(event.SerializeToString())
        os.replace(file.parent, folder)  # noqa: PTH105
    return True


def _events(curve: Curve) -> Iterator[Event]:
    # By hand: tensorboardX's own writer waits for ever if its thread meets a full disk.
    for column, tag in _TAGS.items():
        values = _measured(curve, column)
        for step, value in zip(values.index.to_list(), values.to_list(), strict=True):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            yield Event(wall_time=time.time(), step=step, summary=summary)


def write_trial_events(
    folder: Path, experiment: Experiment, setting: Context, device: str
) -> list[Path]:
    """Write the curves of a finished trial's trainings as event files of TensorBoard.

    Args:
        folder: Holds a run for each training, ``<label>-<hash of the experiment>``.
        experiment: The trial.
        setting: Where its parts are.
        device: Kind of device that made them.

    Returns:
        The runs that were not there yet.
    """
    parts = find_parts(experiment, setting, device)
    # A trial that is not finished has none.
    members = parts.members if parts is not None else ()
    label = re.sub(r"[^\w.=-]+", "_", experiment.label).strip("_")
    written = []
    for member, kind in zip(members, experiment.member_kinds, strict=False):
        name = f"{label}-{experiment.digest[:8]}" + (f"-{kind}" if len(members) > 1 else "")
        (curve,) = find_curves(member.file.parent)
        if write_events(folder / name, curve):
            written.append(folder / name)
    return written


def _measured(curve: Curve, column: str) -> "pd.Series[float]":
    """Give the values of a column by step, where there are any."""
    table = curve.table.set_index("step")
    # Trainings without held-out pairs have no such column, others an empty cell in most lines.
    return table.get(column, table.iloc[:0, 0]).dropna()
