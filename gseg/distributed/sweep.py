"""Many trials at once on Ray Tune: each trial is one experiment, started longest first.

The storage, not Tune, remembers what is finished: a sweep that was killed is simply started again
and finds its pieces. Tune schedules the trials, keeps their processes for the next one
(`reuse_actors`), and starts a trial again whose process died or that met a fault of the machines
(see `gseg.pipeline.failures`). When its time is up a sweep is stopped where it is, which costs no
more than being killed.
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic as now
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from gseg.distributed.capacity import with_later_actors
from gseg.distributed.runtime import Resources
from gseg.distributed.trial_actor import TrialActor
from gseg.distributed.tuning import (
    RESTARTS,
    TimeIsUp,
    held_by_a_trial,
    reason_of,
    trials_at_once,
)
from gseg.generators.catalogue import weights_folder
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.failures import details_file
from gseg.pipeline.rows import Row
from gseg.pipeline.sharing import sharing_groups
from gseg.pipeline.trial import Context


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A trial that did not succeed.

    Attributes:
        experiment: Which.
        reason: One line.
        details: File with the whole story, if there is one.
    """

    experiment: Experiment
    reason: str
    details: Path | None = None


class Listener:
    """Hears of trials while a sweep runs; the methods do nothing unless overridden."""

    def started(self, number: int) -> None:
        """Trial `number` (position in the sequence of experiments) has started."""

    def finished(self, number: int, rows: list[Row]) -> None:
        """A trial has succeeded with these rows."""

    def failed(self, failure: Failure, number: int) -> None:
        """A trial has failed."""

    def retried(self, number: int, attempt: int, reason: str) -> None:
        """A trial is started again, for the `attempt`-th time, for this reason."""


def run_sweep(
    experiments: Sequence[Experiment],
    setting: Context,
    resources: Resources,
    *,
    listener: Listener,
    large: bool,
    seconds: float | None = None,
) -> list[Failure]:
    """Run experiments on the connected Ray; one that fails does not stop the others.

    Args:
        experiments: In the order in which they should start.
        setting: Storage, benchmarks and protocol.
        resources: Where stages run and how many trials at a time.
        listener: Hears of every trial, in this process.
        large: Whether stages of these trials run as distributed jobs (`Resources.is_large` of
            the largest one): the trials then hold almost no CPU themselves.
        seconds: When to stop: no trial starts any more, and those that run are left as they are,
            to be taken up by the next sweep. None for when all are done.

    Returns:
        The trials that failed, in the order of the experiments.
    """
    tracker = _Tracker(experiments, setting, listener)
    concurrency = trials_at_once(resources, large=large)
    trainable = tune.with_parameters(
        TrialActor,
        experiments=list(experiments),
        groups=sharing_groups(experiments, concurrency),
        setting=setting,
        resources=with_later_actors(resources),
        weights=weights_folder(),
    )
    trainable = tune.with_resources(trainable, held_by_a_trial(resources, large=large))
    numbers, end = list(range(len(experiments))), None if seconds is None else now() + seconds
    for _ in range(RESTARTS + 1):
        left = None if end is None else end - now()
        if not numbers or (left is not None and left <= 0):
            break
        _tune(trainable, numbers, concurrency, tracker, left)
        numbers = tracker.take_dropped()
    else:
        tracker.give_up(numbers)
    return [tracker.failures[number] for number in sorted(tracker.failures)]


def _tune(
    trainable: Any,  # noqa: ANN401
    numbers: list[int],
    concurrency: int,
    tracker: "_Tracker",
    seconds: float | None,
) -> None:
    """Have Tune run the trials of these numbers."""
    with tempfile.TemporaryDirectory(prefix="gseg-tune-") as folder:
        tuner = tune.Tuner(
            trainable,
            param_space={"number": tune.grid_search(numbers)},
            tune_config=tune.TuneConfig(max_concurrent_trials=concurrency, reuse_actors=True),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=folder,
                verbose=0,
                callbacks=[tracker],
                stop=None if seconds is None else TimeIsUp(seconds),
                failure_config=tune.FailureConfig(max_failures=RESTARTS),
            ),
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            tuner.fit()


class _Tracker(tune.Callback):
    """Turns Tune's events into calls of a listener."""

    def __init__(
        self, experiments: Sequence[Experiment], setting: Context, listener: Listener
    ) -> None:
        self._experiments, self._setting, self._listener = experiments, setting, listener
        self.failures: dict[int, Failure] = {}
        self._dropped: set[int] = set()
        # Tune runs a trial again whose process is lost between its result and its end.
        self._ended: set[int] = set()

    def take_dropped(self) -> list[int]:
        """Give the trials that Tune gave up without the attempts that they had left."""
        dropped, self._dropped = sorted(self._dropped), set()
        return dropped

    def give_up(self, numbers: list[int]) -> None:
        """Call trials failed that were dropped every time."""
        for number in numbers:
            self._fail(number, f"dropped {RESTARTS + 1} times: its process or node ended", None)

    def __getstate__(self) -> dict[str, Any]:
        # Tune writes its callbacks to a file for its own restore, which is not used here; the
        # listener holds a console and threads.
        return {"_experiments": self._experiments, "failures": self.failures}

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        self._listener.started(trial.config["number"])

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],
        **info: object,
    ) -> None:
        number = result["number"]
        if number in self._ended:
            return
        self._ended.add(number)
        if "failure" in result:
            details = result["details"]
            self._fail(number, result["failure"], Path(details) if details else None)
        else:
            self._listener.finished(number, json.loads(result["rows"]))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        number, attempts = trial.config["number"], trial.run_metadata.num_failures
        if number in self._ended:
            return
        if attempts <= RESTARTS:  # it was to take over a process that a lost node had taken along
            self._dropped.add(number)
            self._listener.retried(number, attempts, reason_of(trial))
            return
        reason = f"{RESTARTS + 1} attempts, the last: {reason_of(trial)}"
        details = details_file(self._experiments[number], self._setting)
        self._fail(number, reason, details if details.exists() else None)

    def on_trial_recover(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        attempt = trial.run_metadata.num_failures
        self._listener.retried(trial.config["number"], attempt, reason_of(trial))

    def _fail(self, number: int, reason: str, details: Path | None) -> None:
        failure = Failure(experiment=self._experiments[number], reason=reason, details=details)
        self.failures[number] = failure
        self._listener.failed(failure, number)
