"""The stages that make samples of samples: the nearest ones, or the same with other masks.

A selection keeps the samples nearest to given pictures (Melas-Kyriazi et al. 2022, B.4). It looks
at the first M of them, so that a larger sample set still extends a smaller one: what is kept
depends on M and is an artifact of its own.

Relabelling gives samples the masks of another model (Voynov et al. 2021, Table 5). The pictures
stay those that were drawn and accepted by their own masks ("we take the same images as in our best
method"); how far the two masks of a picture agree is section 4.5.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from gseg.arrays import check_finite
from gseg.directions.direction import Direction
from gseg.exactness import exact
from gseg.features.named import features_name, open_features
from gseg.generators.catalogue import cached_generator
from gseg.images import from_uint8
from gseg.mask_coding import MaskCoding, mask_coding
from gseg.mask_files import check_codings, coded_mask
from gseg.metrics.sums import area_under_curve
from gseg.pipeline.costs import features_seconds, sample_bytes, score_seconds
from gseg.pipeline.experiment import SelectionConfig
from gseg.pipeline.graph import Node, Workshop
from gseg.pipeline.jobs.train import Pairs
from gseg.pipeline.progress import Report
from gseg.pipeline.stages.samples import (
    DerivedNode,
    SampledSet,
    SamplesNode,
    first_shards,
    rows_of,
)
from gseg.pipeline.stages.segmenter import FILE, SegmenterNode
from gseg.samples.config import LabellerConfig
from gseg.samples.draw import differences
from gseg.samples.labeller import labeller, mask_files, sample_name
from gseg.samples.sets import nearest, similarities
from gseg.samples.shards import Shard, shard_name
from gseg.scores.picture_sources import FolderPictures
from gseg.segmenters.segmenter import Segmenter
from gseg.storage.callables import load_callable
from gseg.storage.checksums import file_digest
from gseg.storage.files import check_unchanged
from gseg.storage.store import Cost, bring_here
from gseg.transfers import one_behind, send


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
        planned = shop.settings(self)["pictures"]
        select = partial(self._select, folder, pairs, planned, shop.report_here)
        return shop.backend.call(select)

    def _pictures(self) -> FolderPictures:
        return FolderPictures(self.selection.folder, resolution=self.side)

    def _select(
        self, folder: Path, pairs: Pairs, planned: str, report: Report
    ) -> Mapping[str, Any]:
        pictures = self._pictures()
        extract = open_features(self.selection.features, device=self.device)
        batches = pictures.batches(range(len(pictures)))
        begun = (extract.begin(batch) for batch in batches)
        real = torch.cat([arrived() for arrived in one_behind(begun)])
        # After they were read, by a process that may be on another machine.
        for identity in (pictures.identity, self._pictures().identity):
            check_unchanged(self.selection.folder, identity, planned)
        # One batch behind: the device works while the next shard is read.
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
        # Candidates and rejections stay those of the drawn shard, which rows add up.
        counts = {**shard.counts, "accepted": len(kept)}
        # Pictures that were stored as JPEG would change again.
        kept = replace(kept, statistics=statistics, counts=counts, picture_format="exact")
        kept.save(folder / shard_name(shard.number))
        start += len(shard)


_BATCH: Final = 64
# Samples whose pictures are made once more to see how well their difference orders the pixels.
_ORDERED: Final = 256

Label = Callable[[Shard, int], Tensor]
"""A shard and its set's seed to masks (N, R, R) bool."""


@dataclass(frozen=True, kw_only=True)
class RelabelledNode(DerivedNode):
    """The same pictures with the masks of another model.

    Its facts say how far the two masks agree: ``labeller_iou``, mean over the samples of which at
    least one mask has a foreground, ``labeller_accuracy``, and ``labeller_auc``, how far they would
    with the best threshold, of the first `_ORDERED` samples.

    Attributes:
        source: Samples with masks of their own.
        count: How many.
        labeller: Who gives the others; None for a network of the graph.
        network: That network.
    """

    stage: ClassVar[str] = "relabelled"
    word: ClassVar[str] = "relabelling"

    count: int
    labeller: LabellerConfig | None = None
    network: SegmenterNode | None = None

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        return {"count": self.count, "labeller": self._told(shop)}

    def parents(self, shop: Workshop) -> Sequence[Node[Any] | str]:
        return [self.source, *([self.network] if self.network else [])]

    def cost(self, shop: Workshop) -> Cost:
        return Cost(
            seconds=score_seconds(self.count, self.side, self.device),
            disk_bytes=round(self.count * sample_bytes(self.side)),
        )

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Let the other model label.

        Raises:
            ValueError: The labeller is not there, has changed, or gives no masks.
        """
        config = self.labeller
        # A network of the graph is a segmenter's file like any other, once it is made.
        if config is None:
            assert self.network is not None
            file = shop.make(self.network).folder / FILE
            config = LabellerConfig(kind="segmenter", place=str(file), digest=file_digest(file))
        samples, drawn = self.source.sampled(shop), self.source
        while isinstance(drawn, DerivedNode):
            drawn = drawn.source
        assert isinstance(drawn, SamplesNode)
        # Made, not only looked for: it may be damaged, or gone, where all samples are there.
        made_with = drawn.generator, shop.make(drawn.direction).folder
        label = partial(self._label, folder, samples, config, made_with, shop.report_here)
        return shop.backend.call(label)

    def agreement(self, shop: Workshop) -> Mapping[str, float | None]:
        """Say how far the masks agree."""
        facts = shop.make(self).facts
        # Older ones were not measured in each way.
        return {name: facts.get(name) for name in _Agreement().means}

    def _told(self, shop: Workshop) -> Mapping[str, str]:
        if self.network is not None:
            return {"kind": "network", "digest": shop.name(self.network)}
        assert self.labeller is not None
        return {"kind": self.labeller.kind, "digest": self.labeller.digest}

    def _label(
        self,
        folder: Path,
        samples: SampledSet,
        config: LabellerConfig,
        made_with: tuple[str, Path],
        report: Report,
    ) -> Mapping[str, Any]:
        label = open_labeller(config, self.device)
        agreement, done = _Agreement(), 0
        name, direction = made_with
        remade = partial(
            differences,
            cached_generator(name, self.device),
            Direction.load(bring_here(direction)),
            samples.config,
        )
        for shard in first_shards(samples.pairs):
            masks = label(shard, samples.config.seed)
            agreement.update(masks, shard.masks)
            for first in range(0, min(len(shard), _ORDERED - done), _BATCH):
                part = slice(first, min(first + _BATCH, _ORDERED - done))
                agreement.order(remade(shard.indices[part].numpy()), masks[part])
            counts = {**shard.counts, "accepted": len(shard)}
            # Pictures that were stored as JPEG would change again.
            kept = replace(shard, masks=masks, counts=counts, picture_format="exact")
            kept.save(folder / shard_name(shard.number))
            done += len(shard)
            report("labelling", done, samples.pairs.count)
        return agreement.means


def open_labeller(config: LabellerConfig, device: str) -> Label:
    """Make a labeller ready.

    Args:
        config: Who.
        device: Kind of device.

    Returns:
        Its call.

    Raises:
        ValueError: It is not there any more, or has changed.
    """
    if config.kind == "segmenter":
        bring_here(Path(config.place).parent)
    prefix = "" if config.kind == "function" else f"{'+'.join([config.kind, *config.coding])}:"
    # The digest in the stage's name is of what was there when the trial was planned.
    check_unchanged(config.place, labeller(prefix + config.place).digest, config.digest)
    if config.kind == "folder":
        coding, files = mask_coding(config.coding), mask_files(Path(config.place))
        return partial(_read_masks, Path(config.place), files, coding)
    if config.kind == "segmenter":
        predict = Segmenter.load(Path(config.place), device=device).probability
        return lambda shard, _: predict(from_uint8(shard.pictures)).cpu() >= 0.5
    function = load_callable(config.place)
    return partial(_by_function, config.place, function, torch.device(device))


@exact()
@torch.no_grad()
def _by_function(
    name: str, function: Callable[[Tensor], object], device: torch.device, shard: Shard, _: int
) -> Tensor:
    """Let a function of the user's label; what it gives is checked."""
    masks = [shard.masks[:0]]  # of shards without samples
    for pictures in torch.split(shard.pictures, _BATCH):
        if not len(pictures):
            continue
        given = function(from_uint8(send(pictures, device)))
        shape = (len(pictures), *pictures.shape[2:])
        if not isinstance(given, Tensor) or given.shape != shape:
            what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(f"{name} gave {what}, expected masks: a tensor of shape {shape}.")
        check_finite(name, {"masks": given})
        if given.dtype == torch.bool:
            masks.append(given.cpu())
            continue
        # Raw logits would pass a threshold of 0.5 unnoticed.
        if not given.is_floating_point() or not ((given >= 0) & (given <= 1)).all():
            raise ValueError(
                f"{name} gave {given.dtype} from {float(given.min()):g} to "
                f"{float(given.max()):g}, expected bool, or probabilities in [0, 1]."
            )
        masks.append((given >= 0.5).cpu())
    return torch.cat(masks)


def _read_masks(
    folder: Path, files: Mapping[str, Path], coding: MaskCoding, shard: Shard, seed: int
) -> Tensor:
    """Read mask files by the names of the pictures."""
    names = [sample_name(seed, index) for index in shard.indices.tolist()]
    missing = [name for name in names if name not in files]
    if missing:
        raise ValueError(
            f"{folder} lacks {len(missing)} of {len(names)} masks, such as {missing[0]}: "
            "write the pictures with 'gseg samples export' and label all of them, those of "
            "the held-out samples too (or hold out none)."
        )
    read = [coded_mask(files[name], coding) for name in names]
    check_codings((each.coding for each in read), folder)
    masks = [torch.from_numpy(each.mask) for each in read]  # void is background
    side = tuple(shard.pictures.shape[2:])
    for name, mask in zip(names, masks, strict=True):
        if tuple(mask.shape) != side:
            raise ValueError(
                f"{files[name]} has {tuple(mask.shape)} pixels, its picture has {side}."
            )
    return torch.stack(masks) if masks else shard.masks


class _Agreement:
    """Sums of how far two masks of each picture agree."""

    def __init__(self) -> None:
        self._overlap, self._unions, self._equal, self._samples = 0.0, 0, 0.0, 0
        self._areas: list[float] = []

    def update(self, ours: Tensor, theirs: Tensor) -> None:
        """Take in masks (N, R, R) bool of both kinds."""
        both, either = (ours & theirs).sum((1, 2)), (ours | theirs).sum((1, 2))
        there = either > 0
        # A picture without a foreground in either mask has no IoU.
        self._overlap += float((both[there] / either[there]).double().sum())
        self._unions += int(there.sum())
        self._equal += float((ours == theirs).double().mean((1, 2)).sum())
        self._samples += len(ours)

    def order(self, differences: Tensor, theirs: Tensor) -> None:
        """Take in what our masks are cut from, (N, R, R), and masks (N, R, R) bool to reach."""
        areas = area_under_curve(differences.double().numpy(), theirs.numpy())
        # A picture that is all foreground or all background has no area.
        self._areas += areas[~np.isnan(areas)].tolist()

    @property
    def means(self) -> dict[str, float | None]:
        """Give the means so far."""
        return {
            "labeller_iou": self._overlap / max(self._unions, 1),
            "labeller_accuracy": self._equal / max(self._samples, 1),
            "labeller_auc": sum(self._areas) / len(self._areas) if self._areas else None,
        }
