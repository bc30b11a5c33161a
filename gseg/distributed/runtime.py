"""Starting Ray quietly, and the one rule that decides where a stage runs.

Starting actors, a Ray Data job or a Ray Train run costs seconds to a minute; most stages of small
trials are shorter than that. So small stages run inside the trial's own process, large ones as
distributed jobs, and the same jobs (`gseg.pipeline.jobs`) do the work in both places.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import ray

from gseg.pipeline.costs import LARGE_STAGE_SECONDS

Placement = Literal["auto", "process", "cluster"]

_KNOCK_SECONDS: Final = 10.0
_OBJECT_STORE_BYTES: Final = 256 * 2**20
_ENVIRONMENT: Final = {
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Huge pages, where the C library knows them, save trials a twentieth to a tenth of their time.
    # Trials compute in a thread; with an arena of its own it would meet 40 % more page faults.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1",
    "RAY_DEDUP_LOGS": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}


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
        if min(counts) < 0 or self.cpus_per_trial <= 0:
            raise ValueError("Resources must not be negative, and a trial needs some CPU.")

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Kind of device that stages run on."""
        return "cuda" if self.gpus_per_trial > 0 else "cpu"

    def is_large(self, seconds: float) -> bool:
        """Decide whether a stage becomes a distributed job.

        Args:
            seconds: Estimate of its one-thread seconds (on its device).

        Returns:
            True for a job on the cluster, False for the trial's own process.
        """
        if self.placement == "auto":
            return seconds >= LARGE_STAGE_SECONDS
        return self.placement == "cluster"


@contextmanager
def ray_session(
    address: str | None = None, *, num_cpus: int | None = None, dashboard: bool = False
) -> Iterator[None]:
    """Connect to Ray, or start it on this machine, without chatter on the console.

    Args:
        address: Of a running cluster, or ``auto``; None starts a Ray of one's own, which is
            stopped at the end.
        num_cpus: CPUs of the own Ray; all by default.
        dashboard: Start the own Ray's dashboard, on this machine's loopback; Ray Train needs it.

    Yields:
        Nothing.

    Raises:
        ValueError: There is no cluster at the address.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in ("ray", "ray.data", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Tune writes a stack trace for every process that a node takes along, and at the end the names
    # of such trials; `Listener` hears of them.
    for name in ("ray.tune.execution", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if ray.is_initialized():  # somebody else's session: use it, leave it
        yield
        return
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None:
        ray.init(
            address="local",
            num_cpus=num_cpus,
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=dashboard,
            **quiet,
        )
    else:
        try:
            _knock(address)
            ray.init(address=address, **quiet)
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"No Ray cluster answers at {address!r}: start one (`ray start --head`, "
                "`ray up ray_cluster.yaml`) or leave out --address."
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Fail at once where nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "://" not in address:
        socket.create_connection((host, int(port)), timeout=_KNOCK_SECONDS).close()
