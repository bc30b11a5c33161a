"""The heavy work of a trial as plain data: what a process anywhere needs to do it.

A job names files in the storage instead of holding tensors, so that the same job runs in the
trial's process, in a Ray Data actor, in a Ray Train worker or in a Ray task.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from gseg.pipeline.jobs.draw import (
    BatchTooLargeError,
    DrawJob,
    DrawOrder,
    cached_generator,
    draw_here,
)
from gseg.pipeline.jobs.measure import MeasureJob
from gseg.pipeline.progress import Report, Watch
from gseg.samples import DamagedShardError, Shard, ShardFacts
from gseg.samples.headers import put_away
from gseg.samples.sets import read_pairs
from gseg.scenes.pictures import render
from gseg.scores.baselines import centre_disc, otsu
from gseg.scores.batches import EvalProtocol
from gseg.scores.benchmarks import BenchmarkPart, open_benchmark
from gseg.scores.labelled import chosen_pictures, square_pairs
from gseg.scores.protocol import Predict, Scores, score
from gseg.segmenters import (
    BatchSource,
    Ensemble,
    FitConfig,
    FitResult,
    InMemoryPairs,
    MixedPairs,
    Run,
    Segmenter,
    fit_source,
)
from gseg.segmenters.held_out import Measurement
from gseg.segmenters.shrunk import ShrunkPairs, shrink
from gseg.segmenters.stored import open_pairs
from gseg.storage.mirror import fetch
from gseg.storage.store import bring_here

__all__ = [
    "SCENES_SIDE",
    "Backend",
    "BatchTooLargeError",
    "DrawJob",
    "DrawOrder",
    "FitJob",
    "Material",
    "Pairs",
    "ScoreJob",
    "cached_generator",
    "draw_here",
]

SCENES_SIDE: Final = 32
"""Side of the scenes that a segmenter is trained on with true masks."""
_BASELINES: Final[Mapping[str, Predict]] = {"otsu": otsu, "centre_disc": centre_disc}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairs:
    """Pairs of picture and mask: generated samples, labelled pictures, or scenes.

    Attributes:
        count: How many.
        shards: Files of samples; empty for the others.
        benchmark: Specification of labelled pictures, see `open_benchmark`; empty for the others.
        side: Of labelled pictures, after cropping their middle and resizing.
        seed: Of the order in which labelled pictures are chosen.
        first: Index of the first scene, or place of the first labelled picture in that order.
        shrunk: Side to which samples are shrunk; None to leave them.
        drawn: Side of samples as they were drawn, where it is known without reading them: they may
            be still to come.
        redraw: Draws a shard again whose file turns out to be damaged; None to give up then.
    """

    count: int
    shards: tuple[Path, ...] = ()
    benchmark: str = ""
    side: int = SCENES_SIDE
    seed: int = 0
    first: int = 0
    shrunk: int | None = None
    drawn: int | None = None
    redraw: DrawJob | None = None

    def resolution(self) -> int:
        """Side of the pictures in pixels."""
        if self.shards:
            return self.shrunk or self.drawn or ShardFacts.read(self.shards[0]).resolution
        return self.side if self.benchmark else SCENES_SIDE

    def source(self, window: int) -> BatchSource:
        """Open them for training.

        Args:
            window: `FitConfig.shuffle_window`.
        """
        if self.shards:
            found = open_pairs(self.shards, self.count, window=window, load=self._load_shard)
            return found if self.shrunk is None else ShrunkPairs(found, self.shrunk)
        return InMemoryPairs(*self.load())

    def load(self) -> tuple[Tensor, Tensor]:
        """Read or render them.

        Returns:
            Pictures (N, 3, R, R) uint8 and masks (N, R, R) bool.
        """
        if self.shards:
            found = read_pairs(map(self._load_shard, range(len(self.shards))), self.count)
            return found if self.shrunk is None else shrink(*found, self.shrunk)
        if self.benchmark:
            benchmark = open_benchmark(self.benchmark)
            numbers = chosen_pictures(benchmark, self.seed, self.first, self.count)
            return square_pairs(benchmark, numbers, self.side)
        scenes = render(range(self.first, self.first + self.count), resolution=SCENES_SIDE)
        return scenes.pictures, scenes.masks

    def _load_shard(self, number: int) -> Shard:
        """Read a shard; one that was damaged on the disk is drawn again, and is the same."""
        path = self.shards[number]
        try:
            return Shard.load(path)
        except DamagedShardError as error:
            if self.redraw is None:
                raise
            put_away(path, error)
            self.redraw.draw(number)
            return Shard.load(path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What a segmenter is trained on and measured with.

    Attributes:
        training: Pairs to train on, at least one kind.
        weights: Share of each kind in what is trained on, up to a common factor; none for every
            pair to count the same.
        validation: Held-out pairs; None to measure nothing.
        parents: Names of the sets that the pairs come from.
    """

    training: tuple[Pairs, ...]
    weights: tuple[float, ...] = ()
    validation: Pairs | None = None
    parents: tuple[str, ...] = ()

    def source(self, window: int) -> BatchSource:
        """Open the pairs to train on.

        Args:
            window: `FitConfig.shuffle_window`.
        """
        sources = [pairs.source(window) for pairs in self.training]
        if len(sources) == 1:
            return sources[0]
        weights = self.weights or [float(pairs.count) for pairs in self.training]
        return MixedPairs(list(zip(sources, weights, strict=True)))


@dataclass(frozen=True, kw_only=True, slots=True)
class FitJob:
    """Training one segmenter.

    Attributes:
        material: Pairs to train on, and held-out ones.
        config: How to train.
        folder: Receives the segmenter and the loss curve; keeps the unfinished training.
        device: Kind of device.
        checkpoint_seconds: See `gseg.segmenters.Run`.
    """

    material: Material
    config: FitConfig
    folder: Path
    device: str = "cpu"
    checkpoint_seconds: float = 60.0

    @property
    def checkpoint(self) -> Path:
        """Where the unfinished training is."""
        return self.folder / "checkpoint.safetensors"

    def fit(
        self,
        report: Report,
        *,
        rank: int = 0,
        wrap: Callable[[torch.nn.Module], torch.nn.Module] | None = None,
    ) -> FitResult:
        """Train, or go on where a training of this job was interrupted.

        Args:
            report: Hears of the steps.
            rank: Which replica this process is.
            wrap: What makes several replicas one; see `gseg.segmenters.Run`.

        Returns:
            The segmenter and its curves.
        """
        run = Run(
            device=self.device,
            checkpoint=self.checkpoint,
            checkpoint_seconds=self.checkpoint_seconds,
            progress=lambda done, total: report("training", done, total),
            measured=self._tell(report) if isinstance(report, Watch) else None,
            rank=rank,
            wrap=wrap,
        )
        fetch(self.checkpoint, again=True)
        held_out = self.material.validation
        validation = held_out.load() if held_out is not None and rank == 0 else None
        source = self.material.source(self.config.shuffle_window)
        return fit_source(source, self.config, validation=validation, run=run)

    def _tell(self, watch: Watch) -> Callable[[Measurement], None]:
        def tell(measured: Measurement) -> None:
            watch.measured(measured.step, self.config.steps, measured.iou, measured.loss)

        return tell


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreJob:
    """Scoring one predictor on one benchmark.

    Attributes:
        segmenters: Files; several are an ensemble. Empty for a baseline.
        baseline: Name of a baseline; empty for segmenters.
        benchmark: Specification; see `open_benchmark`.
        skip_bad: Whether unreadable files are skipped and listed.
        protocol: Evaluation protocol.
        working_size: Shorter side that the predictor sees; None for the benchmark's own.
        device: Kind of device.
    """

    segmenters: tuple[Path, ...] = ()
    baseline: str = ""
    benchmark: str
    skip_bad: bool
    protocol: EvalProtocol
    working_size: int | None
    device: str = "cpu"

    def score(self, report: Report, *, part: int = 0, parts: int = 1) -> Scores:
        """Score a share of the benchmark.

        Args:
            report: Hears of the pictures.
            part: Number of the share.
            parts: Number of shares.

        Returns:
            Scores that merge with those of the other shares.
        """
        benchmark = BenchmarkPart(
            open_benchmark(self.benchmark, skip_bad=self.skip_bad), part, parts
        )
        return score(
            self.predictor(),
            benchmark,
            protocol=self.protocol,
            working_size=self.working_size,
            device=self.device,
            progress=lambda done, total: report("scoring", done, total),
        )

    def predictor(self) -> Predict:
        """Load what predicts."""
        if self.baseline:
            return _BASELINES[self.baseline]
        for path in self.segmenters:
            bring_here(path.parent)
        members = [Segmenter.load(path, device=self.device) for path in self.segmenters]
        return members[0].probability if len(members) == 1 else Ensemble(members).probability


class Backend(Protocol):
    """Where jobs are done."""

    @property
    def device(self) -> str:
        """Kind of device of every job."""
        ...

    def call(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do work that is too short for a job of its own, where there is such a device.

        Args:
            work: Writes files and returns facts for the manifest.

        Returns:
            Those facts.
        """
        ...

    def draw(self, job: DrawJob, shards: Sequence[int], listen: Callable[[], None]) -> None:
        """Draw those of the shards that are needed, in any order; `listen` hears of each.

        Raises:
            BatchTooLargeError: There is not enough memory.
        """
        ...

    def fit(self, job: FitJob, report: Report) -> Mapping[str, Any]:
        """Train; leave ``segmenter.safetensors`` and ``losses.parquet`` in the job's folder.

        Returns:
            Facts for the manifest.
        """
        ...

    def train(
        self, work: Callable[[], Mapping[str, Any]], folder: Path, seconds: float
    ) -> Mapping[str, Any]:
        """Do a long training other than a segmenter's, where there is such a device.

        Args:
            work: Trains, writes files and returns facts for the manifest; takes up what an
                interrupted call left in the folder.
            folder: Where it keeps that.
            seconds: Estimate of its one-thread seconds, which decides where it is done.

        Returns:
            Those facts.
        """
        ...

    def score(self, job: ScoreJob, report: Report) -> Scores:
        """Score the whole benchmark."""
        ...

    def measure(self, job: MeasureJob, parts: Sequence[int], listen: Callable[[int], None]) -> None:
        """Take the features of parts of a set of pictures, in any order.

        Args:
            job: Of the set.
            parts: Numbers of the parts.
            listen: Hears how many pictures more are done.
        """
        ...

    def is_apart(self, job: ScoreJob) -> bool:
        """Say whether a benchmark is scored elsewhere, so that several can be at the same time."""
        ...
