"""The stage that keeps the samples nearest to given pictures (Melas-Kyriazi et al. 2022, B.4).

It comes after the samples and looks at the first M of them, so that a larger sample set still
extends a smaller one: what is kept depends on M and is an artifact of its own.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from gseg.exactness import device_identity
from gseg.features import begin_features, features_name, open_features
from gseg.pipeline.costs import features_seconds, sample_bytes
from gseg.pipeline.experiment import SelectionConfig
from gseg.pipeline.jobs.fit import Pairs
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.progress import Report
from gseg.pipeline.stages.samples import SampledSet
from gseg.samples import Shard, shard_name
from gseg.samples.nearest import nearest, similarities
from gseg.scores.picture_sources import FolderPictures
from gseg.storage.store import Cost, Store
from gseg.transfers import one_behind

_VERSION: Final = 1


def make_selection(
    store: Store,
    samples: SampledSet,
    config: SelectionConfig,
    count: int,
    backend: Backend,
    report: Report,
) -> SampledSet:
    """Keep the samples nearest to given pictures.

    Args:
        store: Where they are or will be.
        samples: The first M samples.
        config: Nearest to what, in which features.
        count: Samples to keep, K.
        backend: Whose device computes.
        report: Hears of the samples.

    Returns:
        The kept samples, with the counts of those that they were chosen from.

    Raises:
        ValueError: Features or pictures are not there, or there are fewer samples.
    """
    side = samples.pairs.resolution()
    pictures = FolderPictures(config.folder, resolution=side)

    def build(folder: Path) -> dict[str, Any]:
        extract = open_features(config.features, device=backend.device)
        batches = pictures.batches(range(len(pictures)))
        begun = (begin_features(extract, batch) for batch in batches)
        real = torch.cat([arrived() for arrived in one_behind(begun)])
        shards = first_shards(samples.pairs)
        found = []
        for arrived in one_behind(begin_features(extract, shard.pictures) for shard in shards):
            found.append(similarities(arrived(), real))
            done = sum(len(each) for each in found)
            report("selection", done, samples.pairs.count)
        similarity = torch.cat(found)
        places = nearest(similarity, count)
        _write(folder, samples.pairs, places, similarity)
        return {"least_similarity": float(similarity[places].min()), "pictures": pictures.name}

    def cost() -> Cost:
        compared = samples.pairs.count + len(pictures)
        return Cost(
            seconds=features_seconds("", compared, config.features, backend.device),
            disk_bytes=round(count * sample_bytes(side)),
        )

    made = store.make(
        "selection",
        version=_VERSION,
        config={
            "count": count,
            "candidates": samples.pairs.count,
            "features": features_name(config.features),
            "pictures": pictures.identity,
            "device": device_identity(backend.device),
        },
        parents=[samples.digest],
        build=lambda folder: backend.call(lambda: build(folder)),
        cost=cost,
        device=backend.device,
    )
    shards = tuple(made.folder / shard_name(number) for number in range(len(samples.pairs.shards)))
    return replace(
        samples,
        digest=made.digest,
        pairs=Pairs(count=count, shards=shards, drawn=side),
        seconds=samples.seconds + made.seconds,
        reused=samples.reused and made.reused,
    )


def first_shards(pairs: Pairs) -> Iterator[Shard]:
    """Read the shards of samples, the last one as far as it is asked for."""
    left = pairs.count
    for path in pairs.shards:
        shard = Shard.load(path)
        yield _rows(shard, torch.arange(min(left, len(shard))))
        left -= len(shard)


def _write(folder: Path, pairs: Pairs, places: Tensor, similarity: Tensor) -> None:
    """Write what is kept of each shard, with its similarity among the statistics."""
    start = 0
    for shard in first_shards(pairs):
        here = places[(places >= start) & (places < start + len(shard))]
        kept = _rows(shard, here - start)
        statistics = {**kept.statistics, "similarity": similarity[here]}
        counts = {**shard.counts, "accepted": len(kept)}
        # Pictures that were stored as JPEG would change again.
        kept = replace(kept, statistics=statistics, counts=counts, picture_format="exact")
        kept.save(folder / shard_name(shard.number))
        start += len(shard)


def _rows(shard: Shard, rows: Tensor) -> Shard:
    return replace(
        shard,
        indices=shard.indices[rows],
        labels=None if shard.labels is None else shard.labels[rows],
        pictures=shard.pictures[rows],
        masks=shard.masks[rows],
        statistics={name: values[rows] for name, values in shard.statistics.items()},
    )
