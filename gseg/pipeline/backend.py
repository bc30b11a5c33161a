"""Backends for commands: all work in this process, or all but what is large."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from gseg.pipeline.jobs.job import Backend, Job, Listen, Training
from gseg.pipeline.progress import Report

T = TypeVar("T")


class LocalBackend:
    """Does work here and now; see `gseg.pipeline.jobs.job.Backend`.

    Args:
        device: Kind of device.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def call(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do short work."""
        return work()

    def train(self, job: Training, report: Report) -> Mapping[str, Any]:
        """Train."""
        return job.train(report)

    def run(self, job: Job[T], parts: Sequence[int], listen: Listen) -> dict[int, T]:
        """Do parts, one after the other."""
        return dict(job.alone(parts, listen))


class HandsOver(LocalBackend):
    """Works in this process, but has another backend do the parts of large jobs.

    Args:
        device: Kind of device.
        start: Gives the other one, when it is needed.
        large: One-thread seconds from which a job is large.
    """

    def __init__(self, device: str, start: Callable[[], Backend], large: float) -> None:
        super().__init__(device)
        self._start, self._large = start, large

    def run(self, job: Job[T], parts: Sequence[int], listen: Listen) -> dict[int, T]:
        """Do parts, or hand them over."""
        if not parts or job.seconds(parts) < self._large:
            return super().run(job, parts, listen)
        return self._start().run(job, parts, listen)
