"""The stages that train a segmenter and score it, or a baseline, on a benchmark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import pandas as pd

from gseg.pipeline.costs import fit_seconds, rule_seconds, score_seconds
from gseg.pipeline.experiment import LabelledPairs
from gseg.pipeline.graph import Node, Stage, Workshop
from gseg.pipeline.jobs.predict import ScoreJob
from gseg.pipeline.jobs.train import SCENES_SIDE, FitJob, Pairs
from gseg.pipeline.stages.samples import SampleNode
from gseg.scenes.pictures import VALIDATION_FIRST
from gseg.scenes.versions import SCENES_NAME
from gseg.scores.batches import chosen_pictures
from gseg.scores.benchmarks import Benchmark, open_benchmark
from gseg.scores.protocol import Scores, bootstrap_intervals
from gseg.scores.specs import CONFIDENCE, DEFAULT_PROFILES, RESAMPLES, RESAMPLING_SEED, EvalProtocol
from gseg.segmenters.config import FitConfig
from gseg.storage.digests import canonical, digest
from gseg.storage.files import replacing
from gseg.storage.mirror import discard
from gseg.storage.store import Artifact, Cost

FILE: Final = "segmenter.safetensors"


@dataclass(frozen=True, kw_only=True)
class SegmenterNode(Stage):
    """A trained network, ``segmenter.safetensors`` and ``losses.parquet``.

    It is trained on samples, on labelled pictures beside them (Melas-Kyriazi et al. 2022, B.4) or
    alone, or else on scenes with their true masks or a rule's. Its facts: ``validation_iou`` and
    ``validation_loss`` (None without held-out pairs), ``foreground_share``, ``final_loss``,
    ``peak_memory_mib``.

    Attributes:
        training: How to train.
        samples: Samples to train on; None for labelled pictures or scenes.
        held_out: Samples to measure with, so that no choice needs labels; None to measure nothing.
        shrunk: Side to which samples are shrunk; None to leave them.
        labelled: Labelled pictures to train on.
        scenes: Scenes to train on.
        rule: Whose masks of scenes are learnt; empty for the true ones.
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
    rule: str = ""
    validation: int = 0

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        if self.scenes > VALIDATION_FIRST:
            raise ValueError(
                f"Scenes from number {VALIDATION_FIRST:,} on are to measure with and to score on: "
                f"at most so many may be trained on, got {self.scenes:,}."
            )
        first = self.scenes if self.samples is None else self.samples.count
        labelled = self.labelled
        held_out = self.validation if self.held_out is None else self.held_out.count
        return {
            "training": canonical(self.training),
            "count": [count for count in (first, labelled.count if labelled else 0) if count],
            "weights": canonical(self._weights),
            "validation": held_out,
            # Younger than their neighbours: left out where they are not used, so that names stay.
            **({"shrunk": [self.shrunk]} if self.samples and self.shrunk else {}),
            **({"rule": self.rule} if self.rule else {}),
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
        seconds = fit_seconds(self.training, side, self.device)
        if self.rule:
            seconds += rule_seconds(self.rule, self.scenes + self.validation, side)
        return Cost(seconds=seconds)

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Train, or go on with a training that was interrupted."""
        pairs = [] if self.samples is None else [self._of_set(self.samples, shop)]
        if self.labelled is not None:
            pairs.append(self._labelled(self.labelled, shop))
        if self.scenes:
            pairs.append(Pairs(count=self.scenes, rule=self.rule))
        job = FitJob(
            pairs=tuple(pairs),
            weights=self._weights,
            validation=self._held_out(shop),
            config=self.training,
            folder=folder,
            device=self.device,
        )
        facts = shop.backend.train(job, shop.report)
        discard(job.checkpoint)  # with the optimiser's state it is larger than the network
        return facts

    @property
    def _weights(self) -> tuple[float, ...]:
        share = None if self.labelled is None else self.labelled.weight
        return () if share is None else (1 - share, share)  # generated, labelled

    def _held_out(self, shop: Workshop) -> Pairs | None:
        if self.held_out is not None:
            return self._of_set(self.held_out, shop)
        if not self.validation:
            return None
        if self.labelled is not None:  # others of the same set
            # The order of the choice goes on where the training pictures end.
            labelled = self.labelled
            return self._labelled(labelled, shop, first=labelled.count, count=self.validation)
        # With masks of the kind that is learnt: those of a rule need no labels.
        return Pairs(count=self.validation, first=VALIDATION_FIRST, rule=self.rule)

    def _of_set(self, samples: SampleNode, shop: Workshop) -> Pairs:
        return replace(samples.sampled(shop).pairs, shrunk=self.shrunk)

    def _labelled(
        self, labelled: LabelledPairs, shop: Workshop, *, first: int = 0, count: int | None = None
    ) -> Pairs:
        return Pairs(
            count=labelled.count if count is None else count,
            benchmark=labelled.benchmark,
            planned=shop.benchmark(labelled.benchmark).identity,
            side=labelled.side,
            seed=labelled.seed,
            first=first,
        )


@dataclass(frozen=True, kw_only=True)
class ScoresNode(Stage):
    """The scores of networks, several as an ensemble, or of a baseline on a benchmark.

    ``images.parquet`` has one row for each picture and profile, ``curves.parquet`` precision and
    recall at every threshold. Its facts: ``benchmark``, ``skipped``, ``profiles``: the means by
    name of profile with their intervals, and ``intervals``: how those were drawn.

    Attributes:
        segmenters: Networks; none for a baseline.
        baseline: Name of a baseline; empty for networks.
        benchmark: Specification; see `gseg.scores.benchmarks.open_benchmark`.
        skip_bad: Whether unreadable files are skipped and listed.
        protocol: Evaluation protocol.
        working_size: Shorter side that the predictor sees; None for the benchmark's own.
        planned: Identity that the benchmark must have; empty to take what is there.
    """

    stage: ClassVar[str] = "scores"
    word: ClassVar[str] = "scoring"
    version: ClassVar[int] = 3

    segmenters: tuple[SegmenterNode, ...] = ()
    baseline: str = ""
    benchmark: str
    skip_bad: bool = False
    protocol: EvalProtocol = "text"
    working_size: int | None = None
    planned: str = ""

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        """Give the settings that name it.

        Raises:
            ValueError: The benchmark cannot be opened, or a network is trained on its pictures.
            ChangedInputsError: It is another one than was planned.
        """
        benchmark = self.opened(shop)
        for labelled in {each.labelled for each in self.segmenters if each.labelled}:
            check_overlap(shop.benchmark(labelled.benchmark), labelled, benchmark)
        return {
            "baseline": self.baseline,
            "benchmark": benchmark.identity,
            "protocol": self.protocol,
            "profiles": list(DEFAULT_PROFILES),
            "working_size": self.working_size,
            "skip_bad": self.skip_bad,
        }

    def older_name(self, shop: Workshop) -> tuple[str, str]:
        """Give the stage and the name in older versions, which named files by names and sizes."""
        older = self.opened(shop).older_identity
        settings = {**shop.settings(self), "benchmark": older}
        return self.stage, digest(self.stage, self.version, settings, shop.names(self))

    def parents(self, shop: Workshop) -> Sequence[Node[Artifact]]:
        return self.segmenters

    def cost(self, shop: Workshop) -> Cost:
        benchmark = self.opened(shop)
        pictures, side = len(benchmark), self.working_size or benchmark.working_size
        seconds = score_seconds(pictures, self.working_size, self.device)
        return Cost(seconds=seconds + rule_seconds(self.baseline, pictures, side))

    def opened(self, shop: Workshop) -> Benchmark:
        """Open the benchmark, or give it again."""
        return shop.benchmark(self.benchmark, skip_bad=self.skip_bad, planned=self.planned)

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Score, part by part."""
        identity = self.opened(shop).identity
        same = ("baseline", "benchmark", "skip_bad", "protocol", "working_size", "device")
        job = ScoreJob(
            segmenters=tuple(shop.make(each).folder / FILE for each in self.segmenters),
            planned=identity,
            **{name: getattr(self, name) for name in same},
        )
        scores = job.collect(shop.run(job, job.total, "scoring"))
        # Once more: it may have changed while it was read.
        open_benchmark(self.benchmark, skip_bad=self.skip_bad, planned=identity)
        curves = pd.concat([part.curves() for part in scores.sums], ignore_index=True)
        for name, table in (("images", scores.table), ("curves", curves)):
            with replacing(folder / f"{name}.parquet") as part:
                table.to_parquet(part, index=False)
        return _score_facts(scores)


def check_overlap(pictures: Benchmark, labelled: LabelledPairs, benchmark: Benchmark) -> None:
    """Make sure that no network is scored on pictures that it is trained on with their masks.

    Args:
        pictures: The labelled pictures.
        labelled: Which of them are trained on.
        benchmark: What is scored on.

    Raises:
        ValueError: There are some; the message says how many.
    """
    chosen = chosen_pictures(pictures, labelled.seed, 0, labelled.count)
    scored = {benchmark.content(index) for index in range(len(benchmark))}
    both = sum(pictures.content(int(number)) in scored for number in chosen)
    if both:
        raise ValueError(
            f"{both:,} of the {labelled.count:,} pictures of {pictures.name} that are trained on "
            f"with their masks are in the benchmark {benchmark.name}, whose scores would say "
            "nothing: name other pictures (--labelled), or another benchmark (--benchmark)."
        )


def _score_facts(scores: Scores) -> dict[str, Any]:
    intervals = bootstrap_intervals(scores)
    # How many masks are empty is the same under all profiles.
    first = scores.table[scores.table.profile == scores.sums[0].profile.name]
    empty = int((first.foreground == 0).sum())
    profiles = {}
    for name, means in scores.aggregates.items():
        values = asdict(means) | {"empty_masks": empty}
        for score, (low, high) in intervals[name].items():
            values |= {f"{score}_low": low, f"{score}_high": high}
        profiles[name] = {
            # JSON has no NaN: the mean of what no picture has is None there.
            key: None if isinstance(value, float) and math.isnan(value) else value
            for key, value in values.items()
        }
    return {
        "benchmark": scores.benchmark,
        "profiles": profiles,
        "intervals": {"resamples": RESAMPLES, "confidence": CONFIDENCE, "seed": RESAMPLING_SEED},
        "skipped": list(scores.skipped),
        # Of masks whose files say themselves what they mean.
        **({"mask_codings": dict(scores.codings)} if scores.codings else {}),
    }
