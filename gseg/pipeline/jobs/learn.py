"""Making candidate directions as plain data; learning them is long, and goes on where it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gseg.directions.candidates import CHECKPOINT, make_candidates, save_candidates
from gseg.directions.config import CandidateConfig
from gseg.generators.catalogue import cached_generator
from gseg.pipeline.costs import candidates_seconds
from gseg.pipeline.jobs.job import Wrap
from gseg.pipeline.progress import Report
from gseg.storage.mirror import fetch


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnJob:
    """Making one set of candidate directions.

    Attributes:
        generator: Catalogue name.
        config: Which set.
        folder: Receives the candidates; keeps the unfinished training of learnt ones.
        device: Kind of device.
    """

    generator: str
    config: CandidateConfig
    folder: Path
    device: str = "cpu"

    replicas: ClassVar[int] = 1

    def seconds(self) -> float:
        """Estimate it."""
        return candidates_seconds(self.generator, self.config, self.device)

    def train(
        self, report: Report, *, rank: int = 0, wrap: Wrap | None = None
    ) -> Mapping[str, Any]:
        """Make the candidates and write them.

        Args:
            report: Hears of the steps.
            rank: There is one replica.
            wrap: There is none.

        Returns:
            Facts for the manifest.
        """
        fetch(self.folder / CHECKPOINT, again=True)
        found = make_candidates(
            cached_generator(self.generator, self.device),
            self.config,
            folder=self.folder,
            progress=lambda done, total: report("candidates", done, total),
        )
        save_candidates(self.folder, found)
        return {"count": len(found.vectors), **found.facts}
