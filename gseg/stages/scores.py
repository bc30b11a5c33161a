"""The stage that scores a predictor on a benchmark."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from gseg.artifacts import Artifact, Store, replacing
from gseg.jobs import Backend, ScoreJob
from gseg.progress import Report
from gseg.scores.benchmarks import open_benchmark
from gseg.scores.protocol import Scores

_VERSION: Final = 2


def make_scores(
    store: Store, job: ScoreJob, parents: Sequence[str], backend: Backend, report: Report
) -> Artifact:
    """Score a predictor on a benchmark.

    Args:
        store: Where the scores are or will be.
        job: What to score on what.
        parents: Names of the segmenters.
        backend: Who scores.
        report: Hears of the pictures.

    Returns:
        An artifact with ``images.parquet`` (one row for each picture and profile); facts:
        ``benchmark``, and ``profiles``: the means by name of profile.
    """
    benchmark = open_benchmark(job.benchmark, skip_bad=job.skip_bad)

    def build(folder: Path) -> dict[str, Any]:
        scores = backend.score(job, report)
        with replacing(folder / "images.parquet") as part:
            scores.table.to_parquet(part, index=False)
        return _score_facts(scores)

    return store.make(
        "scores",
        version=_VERSION,
        config={
            "baseline": job.baseline,
            "benchmark": benchmark.identity,
            "protocol": job.protocol,
            "working_size": job.working_size,
            "skip_bad": job.skip_bad,
            "device": job.device,
        },
        parents=parents,
        build=build,
        device=job.device,
    )


def _score_facts(scores: Scores) -> dict[str, Any]:
    profiles = {}
    for name, means in scores.aggregates.items():
        values = asdict(means)
        profiles[name] = {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in values.items()
        }
    return {
        "benchmark": scores.benchmark,
        "profiles": profiles,
        "skipped": list(scores.skipped),
    }
