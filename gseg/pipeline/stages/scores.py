"""The stage that scores a predictor on benchmarks."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from gseg.exactness import device_identity
from gseg.pipeline.costs import score_seconds
from gseg.pipeline.jobs.job import Backend, counted
from gseg.pipeline.jobs.score import ScoreJob
from gseg.pipeline.progress import Report
from gseg.scores.benchmarks import Benchmark, open_benchmark
from gseg.scores.intervals import CONFIDENCE, RESAMPLES, SEED, bootstrap_intervals
from gseg.scores.protocol import DEFAULT_PROFILES, Scores
from gseg.storage.store import Artifact, Cost, Store, replacing

_VERSION: Final = 3


Opener = Callable[[str, bool], Benchmark]
"""Opens a benchmark by its specification, with or without what is bad."""


def open_anew(spec: str, skip_bad: bool) -> Benchmark:
    """Open a benchmark as it is now."""
    return open_benchmark(spec, skip_bad=skip_bad)


def make_all_scores(
    store: Store,
    jobs: Sequence[ScoreJob],
    parents: Sequence[str],
    backend: Backend,
    report: Report,
    *,
    opener: Opener = open_anew,
) -> list[Artifact]:
    """Score a predictor on several benchmarks.

    Args:
        store: Where the scores are or will be.
        jobs: One for each benchmark.
        parents: Names of the segmenters.
        backend: Who scores.
        report: Hears of the pictures.
        opener: Opens benchmarks; one that remembers them saves a plan of many trials its time.

    Returns:
        The artifacts in the order of the jobs; see `make_scores`.
    """
    return [make_scores(store, job, parents, backend, report, opener=opener) for job in jobs]


def make_scores(
    store: Store,
    job: ScoreJob,
    parents: Sequence[str],
    backend: Backend,
    report: Report,
    *,
    opener: Opener = open_anew,
) -> Artifact:
    """Score a predictor on a benchmark.

    Args:
        store: Where the scores are or will be.
        job: What to score on what.
        parents: Names of the segmenters.
        backend: Who scores.
        report: Hears of the pictures.
        opener: Opens the benchmark.

    Returns:
        An artifact with ``images.parquet`` (one row for each picture and profile) and
        ``curves.parquet`` (precision and recall at every threshold); facts: ``benchmark``,
        ``skipped``, ``profiles``: the means by name of profile with their intervals, and
        ``intervals``: how those were drawn.
    """
    benchmark = opener(job.benchmark, job.skip_bad)

    def build(folder: Path) -> dict[str, Any]:
        listen = counted(partial(report, "scoring"), 0, job.total)
        scores = job.collect(backend.run(job, job.missing(), listen))
        curves = pd.concat([part.curves() for part in scores.sums], ignore_index=True)
        for name, table in (("images", scores.table), ("curves", curves)):
            with replacing(folder / f"{name}.parquet") as part:
                table.to_parquet(part, index=False)
        return _score_facts(scores)

    def cost() -> Cost:
        return Cost(seconds=score_seconds(len(benchmark), job.working_size, job.device))

    return store.make(
        "scores",
        version=_VERSION,
        config={
            "baseline": job.baseline,
            "benchmark": benchmark.identity,
            "protocol": job.protocol,
            "profiles": list(DEFAULT_PROFILES),
            "working_size": job.working_size,
            "skip_bad": job.skip_bad,
            "device": device_identity(job.device),
        },
        parents=parents,
        build=build,
        cost=cost,
        device=job.device,
    )


def _score_facts(scores: Scores) -> dict[str, Any]:
    intervals = bootstrap_intervals(scores)
    first = scores.table[scores.table.profile == scores.sums[0].profile.name]
    empty = int((first.foreground == 0).sum())
    profiles = {}
    for name, means in scores.aggregates.items():
        values = asdict(means) | {"empty_masks": empty}
        for score, (low, high) in intervals[name].items():
            values |= {f"{score}_low": low, f"{score}_high": high}
        profiles[name] = {
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in values.items()
        }
    return {
        "benchmark": scores.benchmark,
        "profiles": profiles,
        "intervals": {"resamples": RESAMPLES, "confidence": CONFIDENCE, "seed": SEED},
        "skipped": list(scores.skipped),
    }
