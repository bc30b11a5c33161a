"""The stage that makes a set of candidate directions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from gseg.directions import CandidateConfig
from gseg.generators.identity import weights_digest
from gseg.pipeline.costs import candidates_seconds
from gseg.pipeline.graph import Stage, Workshop
from gseg.pipeline.jobs.learn import LearnJob
from gseg.storage.store import Cost, canonical


@dataclass(frozen=True, kw_only=True)
class CandidatesNode(Stage):
    """A set of candidate directions, which `gseg.directions.candidates.load_candidates` reads.

    Its facts: ``count``, and ``accuracy`` of learnt ones.

    Attributes:
        generator: Catalogue name.
        candidates: Which set.
    """

    stage: ClassVar[str] = "candidates"

    generator: str
    candidates: CandidateConfig

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        return {"generator": self.generator, "candidates": canonical(self.candidates)}

    def parents(self, shop: Workshop) -> Sequence[str]:
        return [weights_digest(self.generator)]

    def cost(self, shop: Workshop) -> Cost:
        return Cost(seconds=candidates_seconds(self.generator, self.candidates, self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Make the candidates; an unfinished training is taken up."""
        job = LearnJob(
            generator=self.generator, config=self.candidates, folder=folder, device=self.device
        )
        if self.candidates.learnt is None:
            return shop.backend.call(partial(job.train, shop.report_here))
        return shop.backend.train(job, shop.report)
