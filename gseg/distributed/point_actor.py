"""The process that tries the points of a search, and can be stopped between two measurements."""

import json
import queue
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from ray import tune

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.distributed.trial_actor import plain_error
from gseg.pipeline.devices import prepare_process
from gseg.pipeline.failures import Failed, forget_failure, is_worth_another_attempt, note_failure
from gseg.pipeline.progress import FileReport, HaltedError
from gseg.pipeline.trial import Context
from gseg.search.definition import Search
from gseg.search.evaluate import Outcome, evaluate

_GOODBYE_SECONDS: Final = 10.0


def point_file(storage: Path, number: int, search: Search) -> Path:
    """Say where a point writes how far it is."""
    return storage / "progress" / f"{search.recipe}-{number}.json"


class PointActor(tune.Trainable):
    """A process that tries one point after the other.

    The work is done in a thread. Each measurement on held-out pairs ends a step, and the thread
    waits for the next step before it goes on: so a scheduler may stop the point there, and what
    it decides does not depend on how fast the training is.
    """

    def setup(  # type: ignore[override]
        self,
        config: dict[str, Any],
        search: Search,
        setting: Context,
        resources: Resources,
        weights: Path | None,
    ) -> None:
        """Get what all points share; see `gseg.distributed.search.run_search`."""
        self._search, self._setting, self._weights = search, setting, weights
        self._threads = max(1, int(resources.cpus_per_trial))
        self._backend = RayBackend(resources)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next point."""
        self._number: int = new_config["number"]
        self._parameters: dict[str, Any] = json.loads(new_config["parameters"])
        self._worker: _Worker | None = None
        return True

    def step(self) -> dict[str, Any]:
        """Go on to the next measurement or to the end."""
        if self._worker is None:
            self._worker = _Worker(self._work, watched=bool(self._search.watched))
            self._worker.start()
        else:
            self._worker.go_on()
        found = self._worker.wait()
        common = {"number": self._number, "percent": self._worker.percent}
        if isinstance(found, dict):
            return {**common, **found}
        if isinstance(found, Exception):
            return {**common, **self._failed(found), "done": True}
        assert isinstance(found, Outcome)
        return {
            **common,
            "outcome": json.dumps({"rows": found.rows, "values": found.values}),
            "held_out_loss": found.values.get("held_out_loss", float("nan")),
            "held_out_iou": found.values.get("held_out_iou", float("nan")),
            "done": True,
        }

    def cleanup(self) -> None:
        """Stop the work that goes on, so that it lets go of what it holds in the storage."""
        if self._worker is not None:
            self._worker.halt()

    def _work(self, report: "_Worker") -> Outcome:
        prepare_process(self._threads, self._weights)
        report.listen(FileReport(point_file(self._setting.storage, self._number, self._search)))
        outcome = evaluate(self._search, self._parameters, self._setting, self._backend, report)
        for each in self._experiments():
            forget_failure(each, self._setting)
        return outcome

    def _experiments(self) -> list[Any]:
        return self._search.trials_of(self._parameters)

    def _failed(self, error: Exception) -> dict[str, Any]:
        plain = plain_error(error)
        failed: Failed = note_failure(self._experiments()[0], self._setting, plain)
        if is_worth_another_attempt(plain):
            raise error
        nothing = {"percent": 0, "held_out_loss": float("nan"), "held_out_iou": float("nan")}
        return {**nothing, "failure": json.dumps(asdict(failed))}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep nothing here: finished stages are in the storage."""

    def load_checkpoint(self, checkpoint: object) -> None:
        """Nothing to restore."""


class _Worker(threading.Thread):
    """Tries a point beside the actor's own thread; a `gseg.pipeline.progress.Watch` for it.

    Args:
        work: What to do, with this as its report.
        watched: Whether measurements end a step; only those that go further in the first
            network's training do.
    """

    def __init__(self, work: Any, *, watched: bool) -> None:  # noqa: ANN401
        super().__init__(daemon=True)
        self._work, self._watched = work, watched
        self._found: queue.Queue[Any] = queue.Queue()
        self._leave = threading.Semaphore(0)
        self._halted = False
        self._report: FileReport | None = None
        self._stage = ""
        self._closed = False
        self.percent = 0

    def run(self) -> None:
        """Do the work, and hand over what comes out."""
        try:
            self._found.put(self._work(self))
        except HaltedError:
            return
        except Exception as error:  # handed over, to be judged where a step ends
            self._found.put(error)

    def wait(self) -> Any:  # noqa: ANN401
        """Wait for a measurement, an error or the end."""
        return self._found.get()

    def go_on(self) -> None:
        """Let the work go on after a measurement."""
        self._leave.release()

    def halt(self) -> None:
        """Stop the work as soon as it says something."""
        self._halted = True
        self._leave.release()
        self.join(_GOODBYE_SECONDS)

    def listen(self, report: FileReport) -> None:
        """Pass on how far the work is."""
        self._report = report

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Hear how far a stage is."""
        if self._halted:
            raise HaltedError
        # The first network's training is over when another stage has begun.
        self._closed = self._closed or (self._stage == "training" and stage != "training")
        self._stage = stage
        if self._report is not None:
            self._report(stage, done, total, detail)

    def measured(self, step: int, total: int, iou: float, loss: float) -> None:
        """Hear of a measurement, and wait until the scheduler has seen it."""
        percent = 100 * step // total
        if not self._watched or self._closed or percent <= self.percent:
            return
        self.percent = percent
        self._found.put({"held_out_loss": loss, "held_out_iou": iou})
        self._leave.acquire()
        if self._halted:
            raise HaltedError
