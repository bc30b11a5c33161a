"""Measurements of a training that runs elsewhere, told where it is waited for.

The replica that measures writes them to a small file in the job's folder; whoever waits for the
training looks at it from time to time. Where the storage is an object store, the file is one, too.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from gseg.pipeline.progress import HaltedError, Report, Watch
from gseg.storage.files import write_atomically
from gseg.storage.mirror import fetch

FILE: Final = "measured.json"
_LOOK_SECONDS: Final = 1.0


class MeasurementFile:
    """Writes measurements to a file: a `Watch` of the replica that makes them.

    Args:
        path: The file; what an interrupted training has measured before stays in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = read_measurements(path)

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Leave out how far the training is."""

    def measured(self, step: int, total: int, iou: float, loss: float) -> None:
        """Write a measurement."""
        self._known.append({"step": step, "total": total, "iou": iou, "loss": loss})
        write_atomically(self._path, json.dumps(self._known).encode())


def read_measurements(path: Path) -> list[dict[str, Any]]:
    """Read what a `MeasurementFile` wrote; nothing if there is none."""
    if not fetch(path, again=True):
        return []
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found


@contextmanager
def following(path: Path, report: Report, *, look_seconds: float = _LOOK_SECONDS) -> Iterator[None]:
    """Tell a report of the measurements that appear in a file.

    Args:
        path: The file.
        report: Hears of them if it is a `gseg.pipeline.progress.Watch`.
        look_seconds: Between two looks.

    Yields:
        Nothing, while they are told.
    """
    if not isinstance(report, Watch):
        yield
        return
    stop = threading.Event()
    told = len(read_measurements(path))  # by an earlier process, whose point went on all the same
    thread = threading.Thread(
        target=_follow, args=(path, report, told, stop, look_seconds), daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _follow(
    path: Path, watch: Watch, told: int, stop: threading.Event, look_seconds: float
) -> None:
    while True:
        last = stop.wait(look_seconds)
        found = read_measurements(path)
        try:
            for each in found[told:]:
                watch.measured(**each)
        except HaltedError:  # who halts it ends this process, and the training with it
            return
        told = len(found)
        if last:
            return
