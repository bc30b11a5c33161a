"""The stage that makes a set of candidate directions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gseg.directions import CandidateConfig
from gseg.exactness import device_identity
from gseg.generators.identity import weights_digest
from gseg.pipeline.costs import candidates_seconds
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.jobs.learn import LearnJob
from gseg.pipeline.progress import Report
from gseg.storage.store import Artifact, Cost, Store, canonical

_VERSION: Final = 1


def make_candidate_set(
    store: Store, generator: str, config: CandidateConfig, backend: Backend, report: Report
) -> Artifact:
    """Make a set of candidate directions; an unfinished training is taken up.

    Args:
        store: Where it is or will be.
        generator: Catalogue name.
        config: Which set.
        backend: Whose device works.
        report: Hears of the steps of learnt candidates.

    Returns:
        An artifact that `gseg.directions.candidates.load_candidates` reads; facts: ``count``, and
        ``accuracy`` of learnt ones.
    """
    device = backend.device

    def work(folder: Path) -> Mapping[str, Any]:
        job = LearnJob(generator=generator, config=config, folder=folder, device=device)
        if config.learnt is None:
            return backend.call(lambda: job.train(report))
        return backend.train(job, report)

    return store.make(
        "candidates",
        version=_VERSION,
        config={
            "generator": generator,
            "candidates": canonical(config),
            "device": device_identity(device),
        },
        parents=[weights_digest(generator)],
        build=work,
        cost=lambda: Cost(seconds=candidates_seconds(generator, config, device)),
        device=device,
    )
