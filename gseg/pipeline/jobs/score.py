"""Scoring a predictor on a benchmark as plain data; its parts are ranges of pictures."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from gseg.pipeline.costs import score_seconds
from gseg.pipeline.jobs.job import Job, Listen
from gseg.scores.baselines import centre_disc, otsu
from gseg.scores.benchmarks import Benchmark, BenchmarkPart, open_benchmark
from gseg.scores.protocol import Predict, Scores, merge_scores, score
from gseg.scores.specs import EvalProtocol
from gseg.segmenters.segmenter import Ensemble, Segmenter
from gseg.storage.store import bring_here

PART: Final = 100
"""Pictures of a part, at most."""
_BASELINES: Final[Mapping[str, Predict]] = {"otsu": otsu, "centre_disc": centre_disc}


@dataclass(frozen=True, kw_only=True)
class ScoreJob(Job[Scores]):
    """Scoring one predictor on one benchmark.

    Attributes:
        segmenters: Files; several are an ensemble. Empty for a baseline.
        baseline: Name of a baseline; empty for segmenters.
        benchmark: Specification; see `open_benchmark`.
        skip_bad: Whether unreadable files are skipped and listed.
        protocol: Evaluation protocol.
        working_size: Shorter side that the predictor sees; None for the benchmark's own.
        device: Kind of device.
    """

    segmenters: tuple[Path, ...] = ()
    baseline: str = ""
    benchmark: str
    skip_bad: bool
    protocol: EvalProtocol
    working_size: int | None
    device: str = "cpu"

    def __getstate__(self) -> dict[str, Any]:
        # A process elsewhere opens the benchmark itself: that brings the files to its machine.
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def _benchmark(self) -> Benchmark:
        return open_benchmark(self.benchmark, skip_bad=self.skip_bad)

    @property
    def total(self) -> int:
        """Count the pictures."""
        return len(self._benchmark)

    @property
    def parts(self) -> int:
        """Number of parts."""
        return math.ceil(self.total / PART)

    def missing(self) -> range:
        """Number the parts: none is kept."""
        return range(self.parts)

    def size(self, part: int) -> int:
        return self.total * (part + 1) // self.parts - self.total * part // self.parts

    def seconds(self, parts: Sequence[int]) -> float:
        """Estimate the scoring of parts."""
        return score_seconds(sum(map(self.size, parts)), self.working_size, self.device)

    def open(self) -> Callable[[int, Listen], Scores]:
        """Make ready to score parts; their scores merge."""
        predict = self.predictor()

        def do(part: int, listen: Listen) -> Scores:
            return self._score(predict, BenchmarkPart(self._benchmark, part, self.parts), listen)

        return do

    def alone(self, parts: Sequence[int], listen: Listen) -> Mapping[int, Scores]:
        """Score all pictures in one pass, where all are asked for.

        Of pictures of many sizes, those of equal size are predicted together: a tenth faster than
        part by part. A network may give other last bits in another batch.
        """
        if len(parts) < self.parts:
            return super().alone(parts, listen)
        return {0: self._score(self.predictor(), self._benchmark, listen)}

    def collect(self, found: Mapping[int, Scores]) -> Scores:
        """Put the scores of parts together, in their order."""
        return merge_scores([found[part] for part in sorted(found)])

    def predictor(self) -> Predict:
        """Load what predicts."""
        if self.baseline:
            return _BASELINES[self.baseline]
        for path in self.segmenters:
            bring_here(path.parent)
        members = [Segmenter.load(path, device=self.device) for path in self.segmenters]
        return members[0].probability if len(members) == 1 else Ensemble(members).probability

    def _score(self, predict: Predict, benchmark: Benchmark, listen: Listen) -> Scores:
        heard = 0

        def tell(done: int, _: int) -> None:
            nonlocal heard
            listen(done - heard)
            heard = done

        return score(
            predict,
            benchmark,
            protocol=self.protocol,
            working_size=self.working_size,
            device=self.device,
            progress=tell,
        )
