"""A backend for tests: it works in this process, notes what it is asked, and fails on demand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gseg.pipeline.jobs.job import Job, Listen, LocalBackend, Training
from gseg.pipeline.progress import Report


@dataclass
class FakeBackend(LocalBackend):
    """A `LocalBackend` with a memory.

    Attributes:
        device: Kind of device.
        before: Called with a job, and its parts or None, before it is done; may raise.
        ran: Jobs and the parts that were asked for.
        trained: Trainings.
        calls: How often short work was done.
    """

    device: str = "cpu"
    before: Callable[[Job[Any] | Training, list[int] | None], object] = lambda job, parts: None
    ran: list[tuple[Job[Any], list[int]]] = field(default_factory=list)
    trained: list[Training] = field(default_factory=list)
    calls: int = 0

    def call(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        self.calls += 1
        return super().call(work)

    def train(self, job: Training, report: Report) -> Mapping[str, Any]:
        self.trained.append(job)
        self.before(job, None)
        return super().train(job, report)

    def run(self, job: Job[Any], parts: Sequence[int], listen: Listen) -> dict[int, Any]:
        self.ran.append((job, list(parts)))
        self.before(job, list(parts))
        return super().run(job, parts, listen)
