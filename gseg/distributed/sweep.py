"""Many trials at once on Ray Tune: each trial is one experiment, started longest first.

The storage, not Tune, remembers what is finished: a sweep that was killed is simply started again
and finds its pieces. Tune schedules the trials, keeps their processes for the next one
(`reuse_actors`), and starts a trial again whose process died.
"""

import contextlib
import io
import json
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray
import torch
from ray import tune
from ray.tune.experiment import Trial

from gseg.artifacts import write_atomically
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.experiment import Experiment
from gseg.progress import FileReport
from gseg.rows import Row
from gseg.sharing import sharing_groups
from gseg.trial import Setting, run_trial

_RESTARTS: Final = 3
"""How often a trial is started again after its process or node died."""
_DISTRIBUTED_TRIAL_CPUS: Final = 0.01
"""A trial whose stages are jobs of their own only waits; 0 is not accepted by Tune."""


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


def progress_file(storage: Path, experiment: Experiment) -> Path:
    """Say where a trial writes how far it is."""
    return storage / "progress" / f"{experiment.digest}.json"


def run_sweep(
    experiments: Sequence[Experiment],
    setting: Setting,
    resources: Resources,
    *,
    listener: Listener,
    large: bool,
) -> list[Failure]:
    """Run experiments on the connected Ray; one that fails does not stop the others.

    Args:
        experiments: In the order in which they should start.
        setting: Storage, benchmarks and protocol.
        resources: Where stages run and how many trials at a time.
        listener: Hears of every trial, in this process.
        large: Whether stages of these trials run as distributed jobs (`Resources.is_large` of
            the largest one): the trials then hold almost no CPU themselves.

    Returns:
        The trials that failed, in the order of the experiments.
    """
    tracker = _Tracker(experiments, listener)
    concurrency = _concurrency(resources, large=large)
    trainable = tune.with_parameters(
        _TrialActor,
        experiments=list(experiments),
        groups=sharing_groups(experiments, concurrency),
        setting=setting,
        resources=resources,
    )
    cpus = _DISTRIBUTED_TRIAL_CPUS if large else resources.cpus_per_trial
    gpus = 0.0 if large else resources.gpus_per_trial
    trainable = tune.with_resources(trainable, {"cpu": cpus, "gpu": gpus})
    with tempfile.TemporaryDirectory(prefix="gseg-tune-") as folder:
        tuner = tune.Tuner(
            trainable,
            param_space={"number": tune.grid_search(list(range(len(experiments))))},
            tune_config=tune.TuneConfig(max_concurrent_trials=concurrency, reuse_actors=True),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=folder,
                verbose=0,
                callbacks=[tracker],
                failure_config=tune.FailureConfig(max_failures=_RESTARTS),
            ),
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            tuner.fit()
    return [tracker.failures[number] for number in sorted(tracker.failures)]


def _concurrency(resources: Resources, *, large: bool) -> int:
    """Say how many trials run at a time."""
    if resources.max_trials:
        return resources.max_trials
    cluster: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if large:
        processes = max(resources.workers, resources.drawers, 1)
        if resources.gpus_per_trial:
            return max(1, int(cluster.get("GPU", 0.0) / (processes * resources.gpus_per_trial)))
        return max(1, int(cluster.get("CPU", 1.0) / processes))
    fits = cluster.get("CPU", 1.0) / resources.cpus_per_trial
    if resources.gpus_per_trial:
        fits = min(fits, cluster.get("GPU", 0.0) / resources.gpus_per_trial)
    return max(1, int(fits))


class _TrialActor(tune.Trainable):
    """A process that runs one trial after the other."""

    def setup(  # type: ignore[override]
        self,
        config: dict[str, Any],
        experiments: list[Experiment],
        groups: list[tuple[int, ...]],
        setting: Setting,
        resources: Resources,
    ) -> None:
        torch.set_num_threads(max(1, int(resources.cpus_per_trial)))
        self._number: int = config["number"]
        self._experiments, self._groups, self._setting = experiments, groups, setting
        self._backend = RayBackend(resources)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._number = new_config["number"]
        return True

    def step(self) -> dict[str, Any]:
        experiment = self._experiments[self._number]
        report = FileReport(progress_file(self._setting.storage, experiment))
        result: dict[str, Any] = {"number": self._number, "done": True}
        try:
            siblings = [self._experiments[number] for number in self._groups[self._number]]
            rows = run_trial(experiment, self._setting, self._backend, report, siblings=siblings)
        except Exception as error:  # a trial's own fault is a result, not a reason to try again
            details = self._setting.storage / "errors" / f"{experiment.digest}.txt"
            write_atomically(details, traceback.format_exc().encode())
            reason = (str(error) or type(error).__name__).splitlines()[0]
            return {**result, "failure": reason, "details": str(details)}
        return {**result, "rows": json.dumps(rows)}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep nothing here: finished stages are in the storage."""

    def load_checkpoint(self, checkpoint: object) -> None:
        """Nothing to restore."""


class _Tracker(tune.Callback):
    """Turns Tune's events into calls of a listener."""

    def __init__(self, experiments: Sequence[Experiment], listener: Listener) -> None:
        self._experiments, self._listener = experiments, listener
        self.failures: dict[int, Failure] = {}

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
        if "failure" in result:
            self._fail(number, result["failure"], Path(result["details"]))
        else:
            self._listener.finished(number, json.loads(result["rows"]))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: object
    ) -> None:
        reason = f"its process ended {_RESTARTS + 1} times (killed, or out of memory)"
        self._fail(trial.config["number"], reason, None)

    def _fail(self, number: int, reason: str, details: Path | None) -> None:
        failure = Failure(experiment=self._experiments[number], reason=reason, details=details)
        self.failures[number] = failure
        self._listener.failed(failure, number)
