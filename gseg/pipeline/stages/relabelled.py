"""The stage that gives samples the masks of another model (Voynov et al. 2021, Table 5).

The pictures stay those that were drawn and accepted by their own masks ("we take the same images
as in our best method"); how far the two masks of a picture agree is section 4.5.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from gseg.exactness import device_identity, exact
from gseg.images import from_uint8, read_mask
from gseg.pipeline.costs import sample_bytes, score_seconds
from gseg.pipeline.jobs.fit import Pairs
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.progress import Report
from gseg.pipeline.stages.samples import SampledSet
from gseg.pipeline.stages.selection import first_shards
from gseg.samples import Shard, shard_name
from gseg.samples.labeller import LabellerConfig, labeller, mask_files, sample_name
from gseg.segmenters import Segmenter
from gseg.storage.callables import load_callable
from gseg.storage.store import Cost, Store
from gseg.transfers import send

_VERSION: Final = 1
_BATCH: Final = 64

Label = Callable[[Shard, int], Tensor]
"""A shard and its set's seed to masks (N, R, R) bool."""


def make_relabelled(
    store: Store, samples: SampledSet, config: LabellerConfig, backend: Backend, report: Report
) -> tuple[SampledSet, Mapping[str, float | None]]:
    """Give samples the masks of another model.

    Args:
        store: Where they are or will be.
        samples: With masks of their own.
        config: Who gives the others.
        backend: Whose device computes.
        report: Hears of the samples.

    Returns:
        The same pictures with the other masks, and how far the two agree: ``labeller_iou``, mean
        over the samples of which at least one mask has a foreground, and ``labeller_accuracy``.

    Raises:
        ValueError: The labeller is not there, has changed, or gives no masks.
    """

    def build(folder: Path) -> dict[str, Any]:
        label = open_labeller(config, backend.device)
        agreement, done = _Agreement(), 0
        for shard in first_shards(samples.pairs):
            masks = label(shard, samples.config.seed)
            agreement.update(masks, shard.masks)
            counts = {**shard.counts, "accepted": len(shard)}
            # Pictures that were stored as JPEG would change again.
            kept = replace(shard, masks=masks, counts=counts, picture_format="exact")
            kept.save(folder / shard_name(shard.number))
            done += len(shard)
            report("labelling", done, samples.pairs.count)
        return agreement.means

    side = samples.pairs.resolution()

    def cost() -> Cost:
        count = samples.pairs.count
        return Cost(
            seconds=score_seconds(count, side, backend.device),
            disk_bytes=round(count * sample_bytes(side)),
        )

    made = store.make(
        "relabelled",
        version=_VERSION,
        config={
            "count": samples.pairs.count,
            "labeller": {"kind": config.kind, "digest": config.digest},
            "device": device_identity(backend.device),
        },
        parents=[samples.digest],
        build=lambda folder: backend.call(lambda: build(folder)),
        cost=cost,
        device=backend.device,
    )
    shards = tuple(made.folder / shard_name(number) for number in range(len(samples.pairs.shards)))
    relabelled = replace(
        samples,
        digest=made.digest,
        pairs=Pairs(count=samples.pairs.count, shards=shards, drawn=side),
        seconds=samples.seconds + made.seconds,
        reused=samples.reused and made.reused,
    )
    # None in a plan, where nothing is there to agree.
    return relabelled, {name: made.facts.get(name) for name in _Agreement().means}


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
    prefix = "" if config.kind == "function" else f"{config.kind}:"
    if labeller(prefix + config.place) != config:
        raise ValueError(f"{config.place} has changed since the trial was planned: start again.")
    if config.kind == "folder":
        return _FolderLabel(Path(config.place), mask_files(Path(config.place)))
    if config.kind == "segmenter":
        predict = Segmenter.load(Path(config.place), device=device).probability
        return lambda shard, _: predict(from_uint8(shard.pictures)).cpu() >= 0.5
    return _FunctionLabel(config.place, load_callable(config.place), torch.device(device))


@dataclass(frozen=True, slots=True)
class _FunctionLabel:
    """A function of the user's as a labeller; what it gives is checked."""

    name: str
    function: Callable[[Tensor], object]
    device: torch.device

    @exact()
    @torch.no_grad()
    def __call__(self, shard: Shard, _: int) -> Tensor:
        parts = [self._label(part) for part in torch.split(shard.pictures, _BATCH) if len(part)]
        return torch.cat(parts) if parts else shard.masks

    def _label(self, pictures: Tensor) -> Tensor:
        given = self.function(from_uint8(send(pictures, self.device)))
        shape = (len(pictures), *pictures.shape[2:])
        if not isinstance(given, Tensor) or given.shape != shape:
            what = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise ValueError(f"{self.name} gave {what}, expected masks: a tensor of shape {shape}.")
        if given.dtype == torch.bool:
            return given.cpu()
        if not given.is_floating_point() or not ((given >= 0) & (given <= 1)).all():
            raise ValueError(
                f"{self.name} gave {given.dtype} from {float(given.min()):g} to "
                f"{float(given.max()):g}, expected bool, or probabilities in [0, 1]."
            )
        return (given >= 0.5).cpu()


@dataclass(frozen=True, slots=True)
class _FolderLabel:
    """Mask files by the names of the pictures."""

    folder: Path
    files: Mapping[str, Path]

    def __call__(self, shard: Shard, seed: int) -> Tensor:
        names = [sample_name(seed, index) for index in shard.indices.tolist()]
        missing = [name for name in names if name not in self.files]
        if missing:
            raise ValueError(
                f"{self.folder} lacks {len(missing)} of {len(names)} masks, such as {missing[0]}: "
                "write the pictures with 'gseg samples export' and label all of them, those of "
                "the held-out samples too (or hold out none)."
            )
        masks = [read_mask(self.files[name]) for name in names]
        side = tuple(shard.pictures.shape[2:])
        for name, mask in zip(names, masks, strict=True):
            if tuple(mask.shape) != side:
                raise ValueError(
                    f"{self.files[name]} has {tuple(mask.shape)} pixels, its picture has {side}."
                )
        return torch.stack(masks) if masks else shard.masks


class _Agreement:
    """Sums of how far two masks of each picture agree."""

    def __init__(self) -> None:
        self._overlap, self._unions, self._equal, self._samples = 0.0, 0, 0.0, 0

    def update(self, ours: Tensor, theirs: Tensor) -> None:
        """Take in masks (N, R, R) bool of both kinds."""
        both, either = (ours & theirs).sum((1, 2)), (ours | theirs).sum((1, 2))
        there = either > 0
        self._overlap += float((both[there] / either[there]).double().sum())
        self._unions += int(there.sum())
        self._equal += float((ours == theirs).double().mean((1, 2)).sum())
        self._samples += len(ours)

    @property
    def means(self) -> dict[str, float]:
        """Give what `make_relabelled` returns."""
        return {
            "labeller_iou": self._overlap / max(self._unions, 1),
            "labeller_accuracy": self._equal / max(self._samples, 1),
        }
