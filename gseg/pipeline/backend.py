"""A backend for commands: all work in this process."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from gseg.pipeline.jobs.job import Job, Listen, Training
from gseg.pipeline.progress import Report

T = TypeVar("T")


class LocalBackend:
    """Does work here and now; see `gseg.pipeline.jobs.job.Backend`.

    Args:
        device: Kind of device.
    """

    cores: Final = None

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
