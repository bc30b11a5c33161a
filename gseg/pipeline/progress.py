"""How a stage that takes long says how far it is, without knowing who listens."""

import json
import time
from pathlib import Path
from typing import Final, NamedTuple, Protocol, runtime_checkable

from gseg.storage.files import write_atomically

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
        if stage == self._stage and now < self._next:
            return
        self._stage, self._next = stage, now + _WRITE_EVERY
        state = {"stage": stage, "done": done, "total": total, "detail": detail}
        write_atomically(self._path, json.dumps(state).encode(), shared=False)


class Progress(NamedTuple):
    """How far a trial is."""

    stage: str
    done: int
    total: int
    detail: str = ""


def read_progress(path: Path) -> Progress | None:
    """Read what a `FileReport` wrote.

    Args:
        path: Its file.

    Returns:
        Stage, steps done, steps in all and a few words more; None before the first word.
    """
    try:
        state = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return Progress(**state)
