"""How a stage that takes long says how far it is, without knowing who listens.

In the same process that is a call, to other processes a small file: of a trial, for whoever shows
it, and of a training that runs elsewhere, for whoever waits for it. Where the storage is an object
store, the measurements of a training are an object, too.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from gseg.storage.files import write_atomically
from gseg.storage.mirror import fetch

MEASUREMENTS: Final = "measured.json"
"""Where a training that runs elsewhere leaves what it measures, in its folder."""
_MEASURED: Final = ("step", "total", "iou", "loss")
_WRITE_EVERY: Final = 0.5


class Report(Protocol):
    """Listens to the stages of one trial."""

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Hear that a stage has done so many of its steps, and in a few words what else."""
        ...


@runtime_checkable
class Watch(Report, Protocol):
    """A report that also hears how well a network in training does on held-out pairs."""

    def measured(self, step: int, total: int, iou: float, loss: float) -> None:
        """Hear of a measurement after `step` of `total` steps."""
        ...


class HaltedError(BaseException):
    """A listener has stopped the work: no error of it, and not to be caught as one."""


def silent(stage: str, done: int, total: int, detail: str = "") -> None:
    """Listen to nothing."""


class FileReport:
    """Writes how far a trial is to a small file that other processes can read.

    Args:
        path: The file; `read_progress` reads it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stage = ""
        self._next = 0.0

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Write, at most twice a second and at every change of stage."""
        now = time.monotonic()
        # Some stages report many times a second, and the file may lie on a network's disk.
        if stage == self._stage and now < self._next:
            return
        self._stage, self._next = stage, now + _WRITE_EVERY
        state = {"stage": stage, "done": done, "total": total, "detail": detail}
        write_atomically(self._path, json.dumps(state).encode(), shared=False, durable=False)


class Progress(NamedTuple):
    """How far a trial is."""

    stage: str
    done: int
    total: int
    detail: str = ""


def read_progress(path: Path) -> Progress | None:
    """Read what a `FileReport` wrote; None before its first word."""
    try:
        return Progress(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # on a network's disk it may be half there
        return None


class MeasurementFile:
    """Writes measurements to a file: a `Watch` of the replica that makes them.

    Args:
        path: The file; what an interrupted training has measured before stays in it.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._known = path, read_measurements(path)

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Leave out how far the training is."""

    def measured(self, step: int, total: int, iou: float, loss: float) -> None:
        """Write a measurement."""
        self._known.append({"step": step, "total": total, "iou": iou, "loss": loss})
        write_atomically(self._path, json.dumps(self._known).encode())


def read_measurements(path: Path) -> list[dict[str, Any]]:
    """Read what a `MeasurementFile` wrote; nothing if there is none, or one that is damaged."""
    try:
        found = json.loads(path.read_text()) if fetch(path, again=True) else []
        return [{name: each[name] for name in _MEASURED} for each in found]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return []  # a curve in a view, no more


@contextmanager
def following(path: Path, report: Report, *, look_seconds: float = 1.0) -> Iterator[None]:
    """Tell a report of the measurements that appear in a file, if it is a `Watch`.

    Args:
        path: The file.
        report: Hears of them.
        look_seconds: Between two looks.
    """
    stop = threading.Event()
    told = len(read_measurements(path))  # by an earlier process, whose point went on all the same

    def follow(watch: Watch) -> None:
        nonlocal told
        last = False
        while not last:
            last = stop.wait(look_seconds)  # once more after the end, for what came last
            for each in read_measurements(path)[told:]:
                told += 1
                try:
                    watch.measured(**each)
                except HaltedError:  # who halts it ends this process, and the training with it
                    return

    if not isinstance(report, Watch):
        yield
        return
    thread = threading.Thread(target=follow, args=(report,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
