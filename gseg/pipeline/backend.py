"""A backend for commands: all work in this process."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gseg.pipeline.jobs.draw import DrawJob, draw_here
from gseg.pipeline.jobs.fit import FitJob, ScoreJob
from gseg.pipeline.jobs.measure import InProcess
from gseg.pipeline.progress import Report
from gseg.pipeline.stages import save_fit
from gseg.scores.protocol import Scores


class LocalBackend(InProcess):
    """Does jobs here and now; see `gseg.pipeline.jobs.fit.Backend`.

    Args:
        device: Kind of device.
    """

    def call(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do short work."""
        return work()

    def draw(self, job: DrawJob, shards: Sequence[int], listen: Callable[[], None]) -> None:
        """Draw shards, one after the other."""
        draw_here(job, shards, listen)

    def fit(self, job: FitJob, report: Report) -> Mapping[str, Any]:
        """Train."""
        return save_fit(job, job.fit(report))

    def train(
        self, work: Callable[[], Mapping[str, Any]], folder: Path, seconds: float
    ) -> Mapping[str, Any]:
        """Do a long training."""
        return work()

    def score(self, job: ScoreJob, report: Report) -> Scores:
        """Score."""
        return job.score(report)

    def is_apart(self, job: ScoreJob) -> bool:
        """Nothing is done elsewhere."""
        return False
