"""The stage that keeps the samples nearest to given pictures (Melas-Kyriazi et al. 2022, B.4).

It comes after the samples and looks at the first M of them, so that a larger sample set still
extends a smaller one: what is kept depends on M and is an artifact of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gseg.features.named import features_name, open_features
from gseg.pipeline.costs import features_seconds, sample_bytes
from gseg.pipeline.experiment import SelectionConfig
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.fit import Pairs
from gseg.pipeline.progress import Report
from gseg.pipeline.stages.samples import DerivedNode, first_shards, rows_of
from gseg.samples.sets import nearest, similarities
from gseg.samples.shards import shard_name
from gseg.scores.picture_sources import FolderPictures
from gseg.storage.store import Cost
from gseg.transfers import one_behind


@dataclass(frozen=True, kw_only=True)
class SelectionNode(DerivedNode):
    """The samples nearest to given pictures, with the counts of those that they are chosen from.

    Attributes:
        source: The first M samples.
        selection: Nearest to what, in which features.
        count: Samples to keep, K.
    """

    stage: ClassVar[str] = "selection"

    selection: SelectionConfig
    count: int

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        """Give the settings that name it.

        Raises:
            ValueError: Features or pictures are not there.
        """
        return {
            "count": self.count,
            "candidates": self.source.count,
            "features": features_name(self.selection.features),
            "pictures": self._pictures().identity,
        }

    def cost(self, shop: Workshop) -> Cost:
        compared, features = self.source.count + len(self._pictures()), self.selection.features
        return Cost(
            seconds=features_seconds("", compared, features, self.device),
            disk_bytes=round(self.count * sample_bytes(self.side)),
        )

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Compare, and keep the nearest."""
        pairs = self.source.sampled(shop).pairs
        return shop.backend.call(partial(self._select, folder, pairs, shop.report_here))

    def _pictures(self) -> FolderPictures:
        return FolderPictures(self.selection.folder, resolution=self.side)

    def _select(self, folder: Path, pairs: Pairs, report: Report) -> Mapping[str, Any]:
        pictures = self._pictures()
        extract = open_features(self.selection.features, device=self.device)
        batches = pictures.batches(range(len(pictures)))
        begun = (extract.begin(batch) for batch in batches)
        real = torch.cat([arrived() for arrived in one_behind(begun)])
        found = []
        shards = first_shards(pairs)
        for arrived in one_behind(extract.begin(shard.pictures) for shard in shards):
            found.append(similarities(arrived(), real))
            report("selection", sum(len(each) for each in found), pairs.count)
        similarity = torch.cat(found)
        places = nearest(similarity, self.count)
        _write(folder, pairs, places, similarity)
        return {"least_similarity": float(similarity[places].min()), "pictures": pictures.name}


def _write(folder: Path, pairs: Pairs, places: Tensor, similarity: Tensor) -> None:
    """Write what is kept of each shard, with its similarity among the statistics."""
    start = 0
    for shard in first_shards(pairs):
        here = places[(places >= start) & (places < start + len(shard))]
        kept = rows_of(shard, here - start)
        statistics = {**kept.statistics, "similarity": similarity[here]}
        counts = {**shard.counts, "accepted": len(kept)}
        # Pictures that were stored as JPEG would change again.
        kept = replace(kept, statistics=statistics, counts=counts, picture_format="exact")
        kept.save(folder / shard_name(shard.number))
        start += len(shard)
