"""The process that tries points, one after the other, and tells Tune of every measurement."""

import json
import queue
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import ray
from ray import tune

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import PERCENT, Resources
from gseg.pipeline.experiment import Context
from gseg.pipeline.failures import (
    forget_failure,
    is_own_fault,
    is_worth_another_attempt,
    note_failure,
)
from gseg.pipeline.jobs.job import prepare_process
from gseg.pipeline.progress import FileReport, HaltedError, Report, Watch
from gseg.search.evaluate import Outcome, Work
from gseg.search.source import Point
from gseg.storage.damage import DamagedError
from gseg.storage.manifests import recheck

_UNMEASURED: Final = {PERCENT: 0, "held_out_loss": float("nan"), "held_out_iou": float("nan")}
_GOODBYE_SECONDS: Final = 10.0


def progress_file(storage: Path, name: str) -> Path:
    """Say where a point of this name (`Work.name_of`) writes how far it is."""
    return storage / "progress" / f"{name}.json"


class PointActor(tune.Trainable):
    """A process that tries one point after the other.

    The work is done in a thread, and each measurement on held-out pairs ends a step of Tune's, so
    that its callbacks see the curve while a point is tried. Where points may be stopped, the thread
    waits after a measurement for the next step: what the scheduler decides does then not depend on
    how fast a training is. A fault of the machines leaves `step` as an exception, which makes Tune
    start the point again.
    """

    def setup(  # type: ignore[override]
        self,
        config: dict[str, Any],
        work: Work,
        setting: Context,
        resources: Resources,
        holds: bool,
        weights: Path | None,
        folder: Path,
    ) -> None:
        """Get what all points share; see `gseg.distributed.run.run_points`."""
        self._work, self._setting, self._holds = work, setting, holds
        # Tune has gone to a folder of its own.
        threads = max(1, int(resources.cpus_per_trial))
        self._prepare = partial(prepare_process, threads, weights, folder)
        self._backend = RayBackend(resources)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next point."""
        self._point = Point(**json.loads(new_config["point"]))
        self._attempt: _Attempt | None = None
        self._measured = _UNMEASURED
        return True  # Tune: the process can go on with another point

    def step(self) -> dict[str, Any]:
        """Give the next measurement, or what came of the point."""
        if self._attempt is None:
            file = progress_file(self._setting.storage, self._work.name_of(self._point))
            self._attempt = _Attempt(self._try, FileReport(file), holds=self._holds)
            self._attempt.start()
        else:
            self._attempt.go_on()
        found = self._attempt.wait()
        if isinstance(found, Exception):
            return {**_UNMEASURED, **self._failed(found), "done": True}
        if isinstance(found, Outcome):
            values = {name: found.values[name] for name in _UNMEASURED if name in found.values}
            outcome = json.dumps({"rows": found.rows, "values": found.values})
            return {**self._measured, **values, "outcome": outcome, "done": True}
        self._measured = found  # kept: Tune's last result of a point has to have all keys
        return dict(found)

    def cleanup(self) -> None:
        """Stop the work that goes on, so that it lets go of what it holds in the storage."""
        if self._attempt is not None:
            self._attempt.halt()

    def _try(self, report: Watch) -> Outcome:
        self._prepare()  # torch's number of threads is that of the calling thread
        outcome = self._work.evaluate(self._point, self._setting, self._backend, report)
        for each in self._work.trials_of(self._point):
            forget_failure(each, self._setting)
        return outcome

    def _failed(self, error: Exception) -> dict[str, Any]:
        # The error that ended a remote task, instead of the one that tells of it.
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else None
        plain = cause if isinstance(cause, Exception) else error
        # What a reader stumbles over may have been damaged since it was found: another attempt
        # makes it again.
        if (damaged := recheck()) and is_own_fault(plain):
            plain = DamagedError(damaged[0])
        failed = note_failure(self._work.trials_of(self._point)[0], self._setting, plain)
        if is_worth_another_attempt(plain):
            raise error
        return {"failure": failed.reason, "own_fault": failed.own_fault}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep nothing here: finished stages are in the storage."""

    def load_checkpoint(self, checkpoint: object) -> None:
        """Nothing to restore."""


class _Attempt(threading.Thread):
    """Tries a point beside the actor's own thread; a `gseg.pipeline.progress.Watch` for it.

    Args:
        work: What to do, with this as its report.
        progress: Hears how far it is.
        holds: Whether the work waits after a measurement for the next step.
    """

    def __init__(self, work: Callable[[Watch], Outcome], progress: Report, *, holds: bool) -> None:
        super().__init__(daemon=True)
        self._work, self._progress, self._holds = work, progress, holds
        self._found: queue.SimpleQueue[dict[str, Any] | Outcome | Exception] = queue.SimpleQueue()
        self._leave = threading.Semaphore(0)
        self._halted = self._closed = False
        self._percent = 0

    def run(self) -> None:
        """Do the work, and hand over what comes out."""
        try:
            self._found.put(self._work(self))
        except HaltedError:
            return
        except Exception as error:  # handed over, to be judged where a step ends
            self._found.put(error)

    def wait(self) -> dict[str, Any] | Outcome | Exception:
        """Wait for a measurement, an error or the end."""
        return self._found.get()

    def go_on(self) -> None:
        """Let the work go on after a measurement."""
        self._leave.release()

    def halt(self) -> None:
        """Stop the work as soon as it says something."""
        self._halted = True
        self._leave.release()  # it may wait after a measurement
        self.join(_GOODBYE_SECONDS)  # not for ever: Tune waits for this

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Hear how far a stage is."""
        if self._halted:
            raise HaltedError
        # The training of the first network that measures is over when another stage has begun.
        self._closed = self._closed or (self._percent > 0 and stage != "training")
        self._progress(stage, done, total, detail)

    def measured(self, step: int, total: int, iou: float, loss: float) -> None:
        """Hear of a measurement, and hand it over if the first network's training is further."""
        percent = 100 * step // total
        if self._closed or percent <= self._percent:
            return
        self._percent = percent
        # In percent: points may vary the number of steps, and are compared at equal shares.
        self._found.put({PERCENT: percent, "held_out_loss": loss, "held_out_iou": iou})
        if self._holds:
            self._leave.acquire()
        if self._halted:
            raise HaltedError
