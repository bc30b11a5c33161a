"""What runs on Ray Tune have in common: what a trial holds, how often it is tried, when to stop."""

import time
from pathlib import Path
from typing import Any, Final

from ray import tune
from ray.tune.experiment import Trial

from gseg.distributed.capacity import cluster_capacity
from gseg.distributed.runtime import Resources

RESTARTS: Final = 3
"""How often a trial is started again after its process or node died, or after a fault of the
machines."""
_WAITING_CPUS: Final = 0.01
"""A trial whose stages are jobs of their own only waits; 0 is not accepted by Tune."""


def held_by_a_trial(resources: Resources, *, large: bool) -> dict[str, float]:
    """Say what a trial holds in Ray while it runs."""
    if large:
        return {"cpu": _WAITING_CPUS, "gpu": 0.0}
    return {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}


def trials_at_once(resources: Resources, *, large: bool) -> int:
    """Say how many trials run at a time, once the autoscaler, if any, has added its most."""
    if resources.concurrency:
        return resources.concurrency
    cluster = cluster_capacity()
    if large:
        processes = max(resources.workers, resources.actors, 1)
        if resources.gpus_per_trial:
            return max(1, int(cluster["GPU"] / (processes * resources.gpus_per_trial)))
        return max(1, int(cluster["CPU"] / processes))
    fits = cluster["CPU"] / resources.cpus_per_trial
    if resources.gpus_per_trial:
        fits = min(fits, cluster["GPU"] / resources.gpus_per_trial)
    return max(1, int(fits))


class TimeIsUp(tune.Stopper):
    """Stops all trials of a sweep when its time is up.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Stop no trial for its results."""
        return False

    def stop_all(self) -> bool:
        """Say whether the time is up."""
        return time.monotonic() >= self._end


def reason_of(trial: Trial) -> str:
    """Say in one line why a trial's last attempt ended, from the file that Tune keeps of it."""
    path = Path(trial.error_file) if trial.error_file else None
    if path is None or not path.exists():
        return "unknown"
    last = path.read_text().rpartition("Failure # ")[2].strip()
    if "ray::" in last:  # the last line of the stack trace: the error's kind and words
        kind, _, words = last.splitlines()[-1].partition(": ")
        return words or kind
    return "its process or node ended (killed, or out of memory)"
