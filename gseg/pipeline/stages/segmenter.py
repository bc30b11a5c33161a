"""The stage that trains a segmenter, and what it is trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from gseg.pipeline.costs import fit_seconds
from gseg.pipeline.experiment import LabelledPairs
from gseg.pipeline.graph import Node, Stage, Workshop
from gseg.pipeline.jobs.train import SCENES_SIDE, FitJob, Material, Pairs
from gseg.pipeline.stages.samples import SampleNode
from gseg.scenes.pictures import SCENES_NAME, VALIDATION_FIRST
from gseg.segmenters.config import FitConfig
from gseg.storage.digests import canonical
from gseg.storage.mirror import discard
from gseg.storage.store import Cost

FILE: Final = "segmenter.safetensors"


@dataclass(frozen=True, kw_only=True)
class SegmenterNode(Stage):
    """A trained network, ``segmenter.safetensors`` and ``losses.parquet``.

    It is trained on samples, on labelled pictures beside them (Melas-Kyriazi et al. 2022, B.4) or
    alone, or else on scenes with their true masks. Its facts: ``validation_iou`` and
    ``validation_loss`` (None without held-out pairs), ``foreground_share``, ``final_loss``,
    ``peak_memory_mib``.

    Attributes:
        training: How to train.
        samples: Samples to train on; None for labelled pictures or scenes.
        held_out: Samples to measure with, so that no choice needs labels; None to measure nothing.
        shrunk: Side to which samples are shrunk; None to leave them.
        labelled: Labelled pictures to train on.
        scenes: Scenes to train on.
        validation: Labelled pictures or scenes to measure with, where there are no samples.
    """

    stage: ClassVar[str] = "segmenter"
    version: ClassVar[int] = 2

    training: FitConfig
    samples: SampleNode | None = None
    held_out: SampleNode | None = None
    shrunk: int | None = None
    labelled: LabelledPairs | None = None
    scenes: int = 0
    validation: int = 0

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        first = self.scenes if self.samples is None else self.samples.count
        labelled = self.labelled
        held_out = self.validation if self.held_out is None else self.held_out.count
        return {
            "training": canonical(self.training),
            "count": [count for count in (first, labelled.count if labelled else 0) if count],
            "weights": canonical(self._weights),
            "validation": held_out,
            # Younger than its neighbours: left out where it is not used, so that names stay.
            **({"shrunk": [self.shrunk]} if self.samples and self.shrunk else {}),
        }

    def parents(self, shop: Workshop) -> Sequence[Node[Any] | str]:
        """Give what it is made from: the training samples come first."""
        sets = [each for each in (self.samples, self.held_out) if each is not None]
        if self.labelled is not None:
            identity = shop.benchmark(self.labelled.benchmark).identity
            return [*sets, f"{identity} side={self.labelled.side} seed={self.labelled.seed}"]
        return sets or [SCENES_NAME]

    def cost(self, shop: Workshop) -> Cost:
        side = SCENES_SIDE
        if self.samples is not None:
            side = self.shrunk or self.samples.side
        elif self.labelled is not None:
            side = self.labelled.side
        return Cost(seconds=fit_seconds(self.training, side, self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Train, or go on with a training that was interrupted."""
        job = FitJob(
            material=self._material(shop), config=self.training, folder=folder, device=self.device
        )
        facts = shop.backend.train(job, shop.report)
        discard(job.checkpoint)  # with the optimiser's state it is larger than the network
        return facts

    @property
    def _weights(self) -> tuple[float, ...]:
        share = None if self.labelled is None else self.labelled.weight
        return () if share is None else (1 - share, share)  # generated, labelled

    def _material(self, shop: Workshop) -> Material:
        training = [] if self.samples is None else [self._of_set(self.samples, shop)]
        if self.labelled is not None:
            training.append(_labelled(self.labelled))
        if self.scenes:
            training.append(Pairs(count=self.scenes))
        return Material(
            training=tuple(training), weights=self._weights, validation=self._held_out(shop)
        )

    def _held_out(self, shop: Workshop) -> Pairs | None:
        if self.held_out is not None:
            return self._of_set(self.held_out, shop)
        if not self.validation:
            return None
        if self.labelled is not None:  # others of the same set
            labelled = self.labelled
            return _labelled(labelled, first=labelled.count, count=self.validation)
        return Pairs(count=self.validation, first=VALIDATION_FIRST)

    def _of_set(self, samples: SampleNode, shop: Workshop) -> Pairs:
        return replace(samples.sampled(shop).pairs, shrunk=self.shrunk)


def _labelled(labelled: LabelledPairs, *, first: int = 0, count: int | None = None) -> Pairs:
    return Pairs(
        count=labelled.count if count is None else count,
        benchmark=labelled.benchmark,
        side=labelled.side,
        seed=labelled.seed,
        first=first,
    )
