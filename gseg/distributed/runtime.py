"""What a sweep may use, and what there is of it.

Starting actors, a Ray Data job or a Ray Train run costs seconds to a minute; most stages of small
trials are shorter than that. So small stages run inside the trial's own process, large ones as
distributed jobs (`Resources.is_large`), and the same jobs (`gseg.pipeline.jobs`) do the work in
both places.

A cluster whose workers come from zero has nothing when a sweep begins. What may come is written in
the cluster file that `ray up` leaves on the head; a driver that runs there (`ray exec`) reads it,
so that enough trials wait at once for the autoscaler to see them.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

# Ray is imported where it is used: command lines read the records here without it.
if TYPE_CHECKING:
    from ray.tune.schedulers import ASHAScheduler

_log = logging.getLogger(__name__)

Placement = Literal["auto", "process", "cluster"]

LARGE_STAGE_SECONDS: Final = 300.0
"""One-thread seconds from which work is worth a distributed job of its own: five times the longest
start-up that was measured (a Ray Train run that reads Ray Data)."""
PERCENT: Final = "percent"
"""Share of the first network's training: the time by which points are compared."""
_WHOLE: Final = 100
_MODES: Final[Mapping[str, Literal["min", "max"]]] = {"held_out_loss": "min", "held_out_iou": "max"}
WATCHED: Final = tuple(_MODES)
"""Objectives by which points can be stopped early."""

# A trial whose stages are jobs of their own only waits; 0 is not accepted by Tune.
_WAITING_CPUS: Final = 0.01
# Where `ray up` puts the cluster file on the head; the head's start command names it, too.
_LEFT_BY_RAY_UP: Final = Path("~/ray_bootstrap_config.yaml")
_KINDS: Final = ("CPU", "GPU")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What a sweep may use, and how.

    Attributes:
        placement: ``process``: every stage in its trial's process; ``cluster``: all
            that has parts, and trainings, as distributed jobs; ``auto``: the rule of `is_large`.
        workers: Replicas of one training; more than one always trains on the cluster.
        actors: Most actors that share the parts of a job; 0 for as many as there are CPUs or GPUs.
        min_actors: Actors that it begins with; more come while there is room and work, up to
            `actors`. 0 for all at once.
        cpus_per_trial: CPUs that a trial holds while its stages run in its process.
        gpus_per_trial: GPUs that a trial, an actor or a training replica holds; fractions
            share a GPU.
        concurrency: Trials at the same time; 0 for as many as fit.
    """

    placement: Placement = "auto"
    workers: int = 1
    actors: int = 0
    min_actors: int = 0
    cpus_per_trial: float = 1.0
    gpus_per_trial: float = 0.0
    concurrency: int = 0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"A training needs at least 1 worker, got {self.workers}.")
        counts = (self.actors, self.min_actors, self.gpus_per_trial, self.concurrency)
        finite = math.isfinite(self.gpus_per_trial) and math.isfinite(self.cpus_per_trial)
        if not finite or min(counts) < 0 or self.cpus_per_trial <= 0:
            raise ValueError("Resources are finite and not negative, and a trial needs some CPU.")
        if 0 < self.actors < self.min_actors:
            raise ValueError(
                f"--min-actors {self.min_actors} is more than --actors {self.actors}, of which "
                "it is the beginning: give at most as many."
            )

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Kind of device that stages run on."""
        return "cuda" if self.gpus_per_trial > 0 else "cpu"

    def is_large(self, seconds: float) -> bool:
        """Decide whether a stage of so many one-thread seconds becomes a job on the cluster."""
        if self.placement == "auto":
            return seconds >= LARGE_STAGE_SECONDS
        return self.placement == "cluster"

    def held_by_a_trial(self, *, large: bool) -> dict[str, float]:
        """Say what a trial holds in Ray while it runs."""
        if large:
            return {"cpu": _WAITING_CPUS, "gpu": 0.0}
        return {"cpu": self.cpus_per_trial, "gpu": self.gpus_per_trial}

    def processes(self, amount: Mapping[str, float]) -> int:
        """Say how many processes of a job such an amount of CPUs and GPUs has room for."""
        if self.gpus_per_trial:
            return max(1, int(amount.get("GPU", 0.0) / self.gpus_per_trial))
        return max(1, int(amount.get("CPU", 1.0)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Asha:
    """Settings of the early stopping (Li et al. 2020, asynchronous successive halving).

    Attributes:
        watched: Objective by which points are stopped.
        grace: Share of a training, in percent, before which no point is stopped.
        factor: At grace, grace x factor, grace x factor^2, ... percent, only about one in so many
            goes on.
    """

    watched: str = "held_out_loss"
    grace: int = 25
    factor: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.grace < _WHOLE:
            raise ValueError(f"grace is in percent of a training, from 1 to 99, got {self.grace}.")
        if not (math.isfinite(self.factor) and self.factor > 1):
            raise ValueError(f"factor must be above 1, got {self.factor:g}.")

    def scheduler(self) -> "ASHAScheduler":
        """Make Tune's scheduler."""
        from ray.tune.schedulers import ASHAScheduler

        return ASHAScheduler(
            time_attr=PERCENT,
            metric=self.watched,
            mode=_MODES[self.watched],
            max_t=_WHOLE,
            grace_period=self.grace,
            reduction_factor=self.factor,
        )


def trials_at_once(resources: Resources, *, large: bool) -> int:
    """Say how many trials run at a time, once the autoscaler, if any, has added its most.

    Args:
        resources: Of a sweep.
        large: Whether stages run as jobs of their own.
    """
    if resources.concurrency:
        return resources.concurrency
    cluster, gpus = cluster_capacity(), resources.gpus_per_trial
    # Trials of large stages wait for their jobs: as many as jobs fit side by side.
    processes = max(resources.workers, resources.actors, 1) if large else 1
    fits = cluster["CPU"] / (processes if large else resources.cpus_per_trial)
    if gpus:
        on_gpus = cluster["GPU"] / (processes * gpus)
        fits = on_gpus if large else min(fits, on_gpus)
    return max(1, int(fits))


def there_now() -> dict[str, float]:
    """Say what the connected cluster has."""
    import ray

    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found


def cluster_capacity() -> dict[str, float]:
    """Say how many CPUs and GPUs the connected cluster has or may have, whichever is more."""
    now, later = there_now(), _autoscaled() if _is_on_head() else {}
    return {kind: max(now.get(kind, 0.0), later.get(kind, 0.0)) for kind in _KINDS}


def with_later_actors(resources: Resources) -> Resources:
    """Say how many actors work, where more may come than there are.

    Returns:
        The same with `actors` filled in, if it was 0 and an autoscaler may add something: trials
        run on other nodes, and see only what is there already.
    """
    kind, most = "GPU" if resources.gpus_per_trial else "CPU", cluster_capacity()
    # On a cluster that does not grow, each trial counts what is there when it needs actors.
    if resources.actors or most[kind] <= there_now().get(kind, 0.0):
        return resources
    return replace(resources, actors=resources.processes(most))


def most_resources(config: dict[str, Any]) -> dict[str, float]:
    """Add up what the node types of a cluster file give at their most.

    Args:
        config: Content of the file, as Ray completes it. Types without ``resources`` (those of
            machines that are there already) count nothing: their nodes say it when they join.

    Returns:
        CPUs and GPUs of as many workers as may be there at once, the largest types first, and of
        the head.
    """
    types: dict[str, Any] = config.get("available_node_types") or {}
    found = {}
    for kind in _KINDS:
        amount = {
            name: float((about.get("resources") or {}).get(kind, 0.0))
            for name, about in types.items()
        }
        # What all types may have together; each may have less.
        left = int(config.get("max_workers") or 0)
        total = amount.get(str(config.get("head_node_type")), 0.0)
        for name in sorted(types, key=lambda name: -amount[name]):
            own = types[name].get("max_workers")  # without it, a type has no limit of its own
            nodes = left if own is None else min(left, int(own))
            total += nodes * amount[name]
            left -= nodes
        found[kind] = total
    return found


def _autoscaled() -> dict[str, float]:
    """Read the cluster file; nothing if there is none."""
    import yaml

    path = _LEFT_BY_RAY_UP.expanduser()
    try:
        config = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        _log.warning("The cluster file %s cannot be read: %s", path, error)
        return {}
    return most_resources(config) if isinstance(config, dict) else {}


def _is_on_head() -> bool:
    """Say whether this process is on the head of a cluster that an autoscaler watches."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return any(
        node["NodeID"] == here and "node:__internal_head__" in node["Resources"] for node in nodes
    )
