"""Trainings as plain data: a segmenter, from which pairs and how; candidate directions."""

import resource
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from gseg.directions.candidates import CHECKPOINT, make_candidates, save_candidates
from gseg.directions.config import CandidateConfig
from gseg.directions.learnt import UnfinishedError
from gseg.generators.catalogue import cached_generator
from gseg.pipeline.costs import candidates_seconds, fit_seconds
from gseg.pipeline.jobs.draw import DrawJob
from gseg.pipeline.jobs.job import Wrap
from gseg.pipeline.progress import Report, Watch
from gseg.samples.sets import first_samples
from gseg.samples.shards import DamagedShardError, SampleSet, Shard, ShardFacts
from gseg.scenes.pictures import render
from gseg.scores.baselines import rule_masks
from gseg.scores.batches import chosen_pictures, square_pairs
from gseg.scores.benchmarks import open_benchmark
from gseg.segmenters.checkpoint import CheckpointError, Measurement
from gseg.segmenters.config import FitConfig
from gseg.segmenters.curves import curve_table
from gseg.segmenters.fit import FitResult, Run, fit_source
from gseg.segmenters.pairs import (
    BatchSource,
    InMemoryPairs,
    MixedPairs,
    ShrunkPairs,
    open_pairs,
    shrink,
)
from gseg.storage.damage import put_aside
from gseg.storage.files import replacing
from gseg.storage.manifests import recheck
from gseg.storage.mirror import fetch

SCENES_SIDE: Final = 32
"""Side of the scenes that a segmenter is trained on, with true masks or a rule's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Pairs of picture and mask: generated samples, labelled pictures, or scenes.

    Attributes:
        count: How many.
        shards: Files of samples; empty for the others.
        benchmark: Specification of labelled pictures, see `open_benchmark`; empty for the others.
        planned: Identity of labelled pictures; empty to take what is there.
        side: Of labelled pictures, after cropping their middle and resizing.
        seed: Of the order in which labelled pictures are chosen.
        first: Index of the first scene, or place of the first labelled picture in that order.
        rule: Who gives scenes their masks, see `gseg.scores.specs.RULES`; empty for the true ones.
        shrunk: Side to which samples are shrunk; None to leave them.
        redraw: Draws a shard again whose file turns out to be damaged; None to give up then.
    """

    count: int
    shards: tuple[Path, ...] = ()
    benchmark: str = ""
    planned: str = ""
    side: int = SCENES_SIDE
    seed: int = 0
    first: int = 0
    rule: str = ""
    shrunk: int | None = None
    redraw: DrawJob | None = None

    def resolution(self) -> int:
        """Side of the pictures in pixels."""
        if self.shards:
            return self.shrunk or ShardFacts.read(self.shards[0]).resolution
        return self.side if self.benchmark else SCENES_SIDE

    def source(self, window: int) -> BatchSource:
        """Open them for training; the window is `FitConfig.shuffle_window`."""
        if self.shards:
            found = open_pairs(self.shards, self.count, window=window, load=self.load_shard)
            return found if self.shrunk is None else ShrunkPairs(found, self.shrunk)
        return InMemoryPairs(*self.load())

    def load(self) -> tuple[Tensor, Tensor]:
        """Read or render them: pictures (N, 3, R, R) uint8 and masks (N, R, R) bool."""
        if self.shards:
            found = self.head(self.count)
            pairs = found.pictures, found.masks
            return pairs if self.shrunk is None else shrink(*pairs, self.shrunk)
        if self.benchmark:
            # Shuffled by the seed: the first pictures of a set are often of one kind.
            benchmark = open_benchmark(self.benchmark, planned=self.planned)
            numbers = chosen_pictures(benchmark, self.seed, self.first, self.count)
            pairs = square_pairs(benchmark, numbers, self.side)
            # Once more: they may have changed while they were read.
            open_benchmark(self.benchmark, planned=benchmark.identity)
            return pairs
        indices = range(self.first, self.first + self.count)
        scenes = render(indices, resolution=SCENES_SIDE)
        return scenes.pictures, _masks_by(self.rule, indices) if self.rule else scenes.masks

    def head(self, count: int) -> SampleSet:
        """Read the first samples of shards."""
        return first_samples(map(self.load_shard, range(len(self.shards))), count)

    def load_shard(self, number: int) -> Shard:
        """Read a shard; one that was damaged on the disk is drawn again, if it can be.

        Raises:
            DamagedShardError: It cannot be; it is put aside, and made again with its artifact.
        """
        if self.redraw is not None:
            return self.redraw.load(number)
        try:
            return Shard.load(self.shards[number])
        except DamagedShardError as error:
            put_aside(self.shards[number], error)
            recheck(self.shards[number].parent)  # or its artifact would be believed as before
            raise


# A chain's masks take up to a minute, and trials of other seeds have the same.
@lru_cache(maxsize=4)
def _masks_by(rule: str, indices: range) -> Tensor:
    return rule_masks(rule, render(indices, resolution=SCENES_SIDE).pictures)


@dataclass(frozen=True, kw_only=True, slots=True)
class FitJob:
    """Training one segmenter.

    Attributes:
        pairs: What to train on, at least one kind.
        weights: Share of each kind in what is trained on, up to a common factor; none for every
            pair to count the same.
        validation: Held-out pairs; None to measure nothing.
        config: How to train.
        folder: Receives the segmenter and the loss curve; keeps the unfinished training.
        device: Kind of device.
        checkpoint_seconds: See `gseg.segmenters.fit.Run`.
    """

    pairs: tuple[Pairs, ...]
    weights: tuple[float, ...] = ()
    validation: Pairs | None = None
    config: FitConfig
    folder: Path
    device: str = "cpu"
    checkpoint_seconds: float = 60.0

    @property
    def checkpoint(self) -> Path:
        """Where the unfinished training is."""
        return self.folder / "checkpoint.safetensors"

    @property
    def replicas(self) -> int:
        """Processes that train together."""
        return self.config.replicas

    def seconds(self) -> float:
        """Estimate the training."""
        return fit_seconds(self.config, self.pairs[0].resolution(), self.device)

    def train(
        self, report: Report, *, rank: int = 0, wrap: Wrap | None = None
    ) -> Mapping[str, Any]:
        """Train, or go on where a training of this job was interrupted.

        The replica of rank 0 writes ``segmenter.safetensors`` and ``losses.parquet``, and gives
        facts for the manifest.
        """

        def tell(measured: Measurement) -> None:
            if isinstance(report, Watch):
                report.measured(measured.step, self.config.steps, measured.iou, measured.loss)

        run = Run(
            device=self.device,
            checkpoint=self.checkpoint,
            checkpoint_seconds=self.checkpoint_seconds,
            name=self.folder.name,
            progress=lambda done, total: report("training", done, total),
            measured=tell if isinstance(report, Watch) else None,
            rank=rank,
            wrap=wrap,
        )
        fetch(self.checkpoint, again=True)  # another machine may have gone on meanwhile
        # Replicas would all measure the same: rank 0 does.
        validation = self.validation.load() if self.validation and rank == 0 else None
        try:
            result = fit_source(self._source(), self.config, validation=validation, run=run)
        except CheckpointError as error:  # all replicas begin anew
            put_aside(self.checkpoint, error)
            result = fit_source(self._source(), self.config, validation=validation, run=run)
        return {} if rank else self._save(result)

    def _source(self) -> BatchSource:
        """Open the pairs to train on."""
        sources = [pairs.source(self.config.shuffle_window) for pairs in self.pairs]
        if len(sources) == 1:
            return sources[0]
        weights = self.weights or [float(pairs.count) for pairs in self.pairs]
        return MixedPairs(list(zip(sources, weights, strict=True)))

    def _save(self, result: FitResult) -> dict[str, Any]:
        """Write what came out, and give the facts."""
        result.segmenter.save(self.folder / "segmenter.safetensors")
        with replacing(self.folder / "losses.parquet") as part:
            curve_table(result.losses, result.validation).to_parquet(part, index=False)
        last = result.validation[-1] if result.validation else None
        return {
            "validation_iou": result.validation_iou,
            "validation_loss": last.loss if last else None,
            "foreground_share": result.foreground_share,
            "final_loss": float(result.losses[-1]),
            "peak_memory_mib": round(peak_memory_mib(self.device), 1),
        }


def peak_memory_mib(device: str) -> float:
    """Largest memory so far: of the GPU if the device is one, else of this process, in MiB."""
    # Linux gives the process's peak in KiB, PyTorch the device's in bytes.
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnJob:
    """Making one set of candidate directions.

    Attributes:
        generator: Catalogue name.
        config: Which set.
        folder: Receives the candidates; keeps the unfinished training of learnt ones.
        device: Kind of device.
    """

    generator: str
    config: CandidateConfig
    folder: Path
    device: str = "cpu"

    replicas: ClassVar[int] = 1

    def seconds(self) -> float:
        """Estimate it."""
        return candidates_seconds(self.generator, self.config, self.device)

    def train(
        self, report: Report, *, rank: int = 0, wrap: Wrap | None = None
    ) -> Mapping[str, Any]:
        """Make the candidates, write them, and give facts for the manifest."""
        # Another machine may have gone on with the training of learnt ones.
        fetch(self.folder / CHECKPOINT, again=True)
        make = partial(
            make_candidates,
            cached_generator(self.generator, self.device),
            self.config,
            folder=self.folder,
            progress=lambda done, total: report("candidates", done, total),
        )
        try:
            found = make()
        except UnfinishedError as error:
            put_aside(self.folder / CHECKPOINT, error)
            found = make()
        save_candidates(self.folder, found)
        return {"count": len(found.vectors), **found.facts}
