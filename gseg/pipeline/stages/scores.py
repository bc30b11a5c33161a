"""The stage that scores a predictor on a benchmark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from gseg.pipeline.costs import score_seconds
from gseg.pipeline.graph import Node, Stage, Workshop
from gseg.pipeline.jobs.predict import ScoreJob
from gseg.pipeline.stages.segmenter import FILE, SegmenterNode
from gseg.scores.protocol import Scores, bootstrap_intervals
from gseg.scores.specs import CONFIDENCE, DEFAULT_PROFILES, RESAMPLES, RESAMPLING_SEED, EvalProtocol
from gseg.storage.files import replacing
from gseg.storage.store import Artifact, Cost


@dataclass(frozen=True, kw_only=True)
class ScoresNode(Stage):
    """The scores of networks, several as an ensemble, or of a baseline on a benchmark.

    ``images.parquet`` has one row for each picture and profile, ``curves.parquet`` precision and
    recall at every threshold. Its facts: ``benchmark``, ``skipped``, ``profiles``: the means by
    name of profile with their intervals, and ``intervals``: how those were drawn.

    Attributes:
        segmenters: Networks; none for a baseline.
        baseline: Name of a baseline; empty for networks.
        benchmark: Specification; see `gseg.scores.benchmarks.open_benchmark`.
        skip_bad: Whether unreadable files are skipped and listed.
        protocol: Evaluation protocol.
        working_size: Shorter side that the predictor sees; None for the benchmark's own.
    """

    stage: ClassVar[str] = "scores"
    word: ClassVar[str] = "scoring"
    version: ClassVar[int] = 3

    segmenters: tuple[SegmenterNode, ...] = ()
    baseline: str = ""
    benchmark: str
    skip_bad: bool = False
    protocol: EvalProtocol = "text"
    working_size: int | None = None

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        """Give the settings that name it.

        Raises:
            ValueError: The benchmark cannot be opened.
        """
        return {
            "baseline": self.baseline,
            "benchmark": shop.benchmark(self.benchmark, skip_bad=self.skip_bad).identity,
            "protocol": self.protocol,
            "profiles": list(DEFAULT_PROFILES),
            "working_size": self.working_size,
            "skip_bad": self.skip_bad,
        }

    def parents(self, shop: Workshop) -> Sequence[Node[Artifact]]:
        return self.segmenters

    def cost(self, shop: Workshop) -> Cost:
        pictures = len(shop.benchmark(self.benchmark, skip_bad=self.skip_bad))
        return Cost(seconds=score_seconds(pictures, self.working_size, self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Score, part by part."""
        job = ScoreJob(
            segmenters=tuple(shop.make(each).folder / FILE for each in self.segmenters),
            baseline=self.baseline,
            benchmark=self.benchmark,
            skip_bad=self.skip_bad,
            protocol=self.protocol,
            working_size=self.working_size,
            device=self.device,
        )
        scores = job.collect(shop.run(job, job.total, "scoring"))
        curves = pd.concat([part.curves() for part in scores.sums], ignore_index=True)
        for name, table in (("images", scores.table), ("curves", curves)):
            with replacing(folder / f"{name}.parquet") as part:
                table.to_parquet(part, index=False)
        return _score_facts(scores)


def _score_facts(scores: Scores) -> dict[str, Any]:
    intervals = bootstrap_intervals(scores)
    # How many masks are empty is the same under all profiles.
    first = scores.table[scores.table.profile == scores.sums[0].profile.name]
    empty = int((first.foreground == 0).sum())
    profiles = {}
    for name, means in scores.aggregates.items():
        values = asdict(means) | {"empty_masks": empty}
        for score, (low, high) in intervals[name].items():
            values |= {f"{score}_low": low, f"{score}_high": high}
        profiles[name] = {
            # JSON has no NaN: the mean of what no picture has is None there.
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in values.items()
        }
    return {
        "benchmark": scores.benchmark,
        "profiles": profiles,
        "intervals": {"resamples": RESAMPLES, "confidence": CONFIDENCE, "seed": RESAMPLING_SEED},
        "skipped": list(scores.skipped),
    }
