"""The stage that draws samples: a growing set of shards, shared by all data sizes."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from gseg.artifacts import (
    Artifact,
    NotMadeError,
    Store,
    canonical,
    digest,
    write_atomically,
)
from gseg.generators.identity import weights_digest
from gseg.jobs import Backend, DrawJob, Pairs
from gseg.leases import lease
from gseg.progress import Report
from gseg.samples import SampleConfig, check_acceptance, shard_name, sum_counts

_VERSION: Final = 1
_SHARDS_AT_ONCE: Final = 64
"""Most shards that are asked for before looking at the acceptance again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledSet:
    """The first N accepted samples on disk.

    Attributes:
        digest: Name of the sample set, whatever its size.
        pairs: How to load them.
        counts: Candidates, accepted and rejected by reason over the shards they come from.
        seconds: Time that drawing those shards took, whenever that was.
        reused: Whether all of them were found.
    """

    digest: str
    pairs: Pairs
    counts: Mapping[str, int]
    seconds: float
    reused: bool


def make_samples(
    store: Store,
    generator: str,
    direction: Artifact,
    config: SampleConfig,
    count: int,
    backend: Backend,
    report: Report,
) -> SampledSet:
    """Draw shards until there are enough accepted samples.

    The set's name leaves the count out: a larger set is the same one with more shards.

    Args:
        store: Where the shards are or will be.
        generator: Catalogue name.
        direction: From `make_direction`.
        config: How to draw.
        count: Samples needed.
        backend: Who draws.
        report: Hears of the accepted samples.

    Returns:
        The samples.

    Raises:
        NotMadeError: There are not enough and the store is read-only.
    """
    settings = {"generator": generator, "samples": asdict(config), "device": backend.device}
    parents = [weights_digest(generator), direction.digest]
    name = digest("samples", _VERSION, settings, parents)
    folder = store.folder("samples", name)
    found = _enough(folder, count)
    if found is not None:
        return replace(found, digest=name)
    if store.read_only:
        raise NotMadeError("samples")
    job = DrawJob(
        generator=generator,
        direction=direction.folder,
        config=config,
        folder=folder,
        device=backend.device,
    )
    with lease(folder, unless=lambda: _enough(folder, count) is not None) as held:
        if held:
            about = {"config": canonical(settings), "parents": parents}
            write_atomically(folder / "about.json", json.dumps(about, indent=1).encode())
            _draw_until_enough(job, count, backend, report)
    found = _enough(folder, count)
    assert found is not None
    return replace(found, digest=name, reused=not held)


def _draw_until_enough(job: DrawJob, count: int, backend: Backend, report: Report) -> None:
    """Ask for missing shards, as many as the acceptance so far says are needed."""
    while True:
        shards = _shards(job.folder)
        counts = sum_counts(shard.counts for shard in shards)
        accepted = counts.get("accepted", 0)
        if accepted >= count:
            return
        if counts:
            check_acceptance(counts)
        rate = accepted / counts["candidates"] if accepted else 0.5
        missing = math.ceil((count - accepted) / (rate * job.config.shard_size))
        numbers = range(len(shards), len(shards) + min(missing, _SHARDS_AT_ONCE))
        seen = accepted
        report("samples", min(seen, count), count)

        def listen(drawn: Mapping[str, int]) -> None:
            nonlocal seen
            seen += drawn["accepted"]
            report("samples", min(seen, count), count)

        backend.draw(job, [n for n in numbers if not (job.folder / shard_name(n)).exists()], listen)


@dataclass(frozen=True, kw_only=True, slots=True)
class _ShardFacts:
    path: Path
    counts: Mapping[str, int]
    seconds: float


def _shards(folder: Path) -> list[_ShardFacts]:
    """List the complete shards 0, 1, 2, ... without a gap."""
    found: list[_ShardFacts] = []
    while (path := folder / shard_name(len(found))).exists():
        found.append(_read_shard_facts(path, path.stat().st_mtime_ns))
    return found


@lru_cache(maxsize=4096)
def _read_shard_facts(path: Path, _modified: int) -> _ShardFacts:
    header = json.loads(pq.read_schema(path).metadata[b"gseg.samples"])
    seconds = path.with_suffix(".seconds")
    return _ShardFacts(
        path=path,
        counts=header["counts"],
        seconds=float(seconds.read_text()) if seconds.exists() else 0.0,
    )


def _enough(folder: Path, count: int) -> SampledSet | None:
    """Take as many shards as hold the first `count` samples; None if there are too few."""
    used: list[_ShardFacts] = []
    accepted = 0
    for shard in _shards(folder):
        used.append(shard)
        accepted += shard.counts["accepted"]
        if accepted >= count:
            return SampledSet(
                digest="",
                pairs=Pairs(count=count, shards=tuple(shard.path for shard in used)),
                counts=sum_counts(shard.counts for shard in used),
                seconds=sum(shard.seconds for shard in used),
                reused=True,
            )
    return None
