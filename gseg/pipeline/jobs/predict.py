"""Predictions as plain data, in parts that are ranges of pictures.

`ScoreJob` scores a predictor on a benchmark; `SegmentJob` writes masks for a user's own pictures.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from gseg.pipeline.costs import score_seconds, segment_seconds
from gseg.pipeline.jobs.job import Job, Listen
from gseg.scores.baselines import BASELINES
from gseg.scores.benchmarks import Benchmark, BenchmarkPart, open_benchmark
from gseg.scores.protocol import Predict, Scores, merge_scores, score
from gseg.scores.specs import EvalProtocol
from gseg.segmenters.segment import SegmentedFiles, Threshold, check_threshold, segment_to
from gseg.segmenters.segmenter import Ensemble, Predictor, Segmenter
from gseg.storage.store import bring_here

SCORED_AT_ONCE: Final = 100
"""Pictures of a part of scoring, at most."""
SEGMENTED_AT_ONCE: Final = 50
"""Files of a part of segmenting."""


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
        planned: Identity of the benchmark; empty to take what is there.
    """

    segmenters: tuple[Path, ...] = ()
    baseline: str = ""
    benchmark: str
    skip_bad: bool
    protocol: EvalProtocol
    working_size: int | None
    device: str = "cpu"
    planned: str = ""

    def __getstate__(self) -> dict[str, Any]:
        # A process elsewhere opens the benchmark itself: that brings the files to its machine.
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @cached_property
    def _benchmark(self) -> Benchmark:
        return open_benchmark(self.benchmark, skip_bad=self.skip_bad, planned=self.planned)

    @property
    def total(self) -> int:
        """Count the pictures."""
        return len(self._benchmark)

    @property
    def parts(self) -> int:
        """Number of parts."""
        return math.ceil(self.total / SCORED_AT_ONCE)

    def missing(self) -> range:
        """Number the parts: none is kept."""
        return range(self.parts)

    def size(self, part: int) -> int:
        # Parts of nearly equal size, as `BenchmarkPart` cuts them.
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
        """Score all pictures in one pass, where all are asked for."""
        if len(parts) < self.parts:
            return super().alone(parts, listen)
        # Of pictures of many sizes, those of equal size are predicted together: a tenth faster
        # than part by part. A network may give other last bits in another batch.
        return {0: self._score(self.predictor(), self._benchmark, listen)}

    def collect(self, found: Mapping[int, Scores]) -> Scores:
        """Put the scores of parts together, in their order."""
        return merge_scores([found[part] for part in sorted(found)])

    def predictor(self) -> Predict:
        """Load what predicts."""
        if self.baseline:
            return BASELINES[self.baseline]
        return load_predictor(self.segmenters, self.device).probability

    def _score(self, predict: Predict, benchmark: Benchmark, listen: Listen) -> Scores:
        heard = 0

        # Scoring tells how many are done, a job hears how many more.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentJob(Job[SegmentedFiles]):
    """Segmenting files.

    Attributes:
        files: Pictures, and where their masks go; see `gseg.segmenters.segment.name_masks`.
        models: Segmenters' files, None for the one that ships; several are an ensemble.
        working_size: Shorter side that the network sees; None for that of its training.
        threshold: Probability above which a pixel is foreground, or ``otsu``.
        overlay: Whether to write overlays too.
        device: Kind of device.
    """

    files: tuple[tuple[Path, Path], ...]
    models: tuple[Path | None, ...] = (None,)
    working_size: int | None = None
    threshold: Threshold = 0.5
    overlay: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def missing(self) -> range:
        """Number the parts: masks of an earlier call are replaced."""
        return range(math.ceil(len(self.files) / SEGMENTED_AT_ONCE))

    def size(self, part: int) -> int:
        """Count the files of a part."""
        return len(self._files(part))

    def seconds(self, parts: Sequence[int]) -> float:
        """Estimate the segmenting of parts."""
        return segment_seconds(sum(map(self.size, parts)), self.device)

    def open(self) -> Callable[[int, Listen], SegmentedFiles]:
        """Make ready to segment parts."""
        predictor = load_predictor(self.models, self.device)

        def do(part: int, listen: Listen) -> SegmentedFiles:
            return segment_to(
                predictor,
                self._files(part),
                working_size=self.working_size,
                threshold=self.threshold,
                overlay=self.overlay,
                progress=lambda done, total: listen(1),
            )

        return do

    def collect(self, found: Mapping[int, SegmentedFiles]) -> SegmentedFiles:
        """Put the parts together, in their order."""
        masks: dict[Path, Path] = {}
        skipped: dict[Path, str] = {}
        for part in sorted(found):
            masks |= found[part].masks
            skipped |= found[part].skipped
        return SegmentedFiles(masks=masks, skipped=skipped)

    def _files(self, part: int) -> dict[Path, Path]:
        return dict(self.files[part * SEGMENTED_AT_ONCE : (part + 1) * SEGMENTED_AT_ONCE])


def load_predictor(files: Sequence[Path | None], device: str = "cpu") -> Predictor:
    """Load networks, None for the one that ships; several are an ensemble."""
    members: list[Predictor] = [
        Segmenter.load(bring_here(file.parent) / file.name, device=device)
        if file
        else Segmenter.shipped(device=device)
        for file in files
    ]
    return members[0] if len(members) == 1 else Ensemble(members)
