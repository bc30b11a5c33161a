"""The process that runs the trials of a sweep, one after the other."""

import json
from pathlib import Path
from typing import Any

import ray
from ray import tune

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.devices import prepare_process
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.failures import forget_failure, is_worth_another_attempt, note_failure
from gseg.pipeline.progress import FileReport
from gseg.pipeline.trial import Context, run_trial


def progress_file(storage: Path, experiment: Experiment) -> Path:
    """Say where a trial writes how far it is."""
    return storage / "progress" / f"{experiment.digest}.json"


class TrialActor(tune.Trainable):
    """A process that runs one trial after the other.

    A fault of the machines leaves `step` as an exception, which makes Tune start the trial again.
    """

    def setup(  # type: ignore[override]
        self,
        config: dict[str, Any],
        experiments: list[Experiment],
        groups: list[tuple[int, ...]],
        setting: Context,
        resources: Resources,
        weights: Path | None,
    ) -> None:
        """Get what all trials share; see `gseg.distributed.sweep.run_sweep`."""
        prepare_process(max(1, int(resources.cpus_per_trial)), weights)
        self._number: int = config["number"]
        self._experiments, self._groups, self._setting = experiments, groups, setting
        self._backend = RayBackend(resources)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial."""
        self._number = new_config["number"]
        return True

    def step(self) -> dict[str, Any]:
        """Run the trial: give its rows, or why it failed."""
        experiment = self._experiments[self._number]
        report = FileReport(progress_file(self._setting.storage, experiment))
        result: dict[str, Any] = {"number": self._number, "done": True}
        try:
            siblings = [self._experiments[number] for number in self._groups[self._number]]
            rows = run_trial(experiment, self._setting, self._backend, report, siblings=siblings)
        except Exception as error:  # a trial's own fault is a result, not a reason to try again
            failed = note_failure(experiment, self._setting, plain_error(error))
            if is_worth_another_attempt(plain_error(error)):
                raise
            return {**result, "failure": failed.reason, "details": failed.details}
        forget_failure(experiment, self._setting)
        return {**result, "rows": json.dumps(rows)}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep nothing here: finished stages are in the storage."""

    def load_checkpoint(self, checkpoint: object) -> None:
        """Nothing to restore."""


def plain_error(error: Exception) -> Exception:
    """Give the error that ended a remote task, instead of the one that tells of it."""
    cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else None
    return cause if isinstance(cause, Exception) else error
