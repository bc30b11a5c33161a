"""One trial: all stages of one experiment, and the rows that come out."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from gseg.pipeline.experiment import Experiment
from gseg.pipeline.jobs.fit import Material, Pairs
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.jobs.score import ScoreJob
from gseg.pipeline.progress import Report, silent
from gseg.pipeline.row_values import (
    direction_values,
    find_card,
    identity_values,
    member_values,
    score_values,
)
from gseg.pipeline.rows import Row, make_row
from gseg.pipeline.sharing import sample_sets
from gseg.pipeline.stages import (
    SampledSet,
    Wanted,
    has_reference,
    make_all_scores,
    make_direction,
    make_distance,
    make_samples,
    make_segmenter,
    make_selection,
    with_operators,
)
from gseg.pipeline.stages.distance import MeasuredDistance
from gseg.pipeline.stages.labelled import labelled_alone, with_labelled
from gseg.pipeline.stages.parts import Member, TrialParts
from gseg.pipeline.stages.relabelled import make_relabelled
from gseg.pipeline.stages.scores import Opener, open_anew
from gseg.samples import SampleConfig
from gseg.scenes.pictures import SCENES_NAME, VALIDATION_FIRST
from gseg.scores.batches import EvalProtocol
from gseg.storage.cache_limit import trial_runs
from gseg.storage.store import Artifact, Note, NotMadeError, Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What all trials of a sweep have in common.

    Attributes:
        storage: Folder of the artifacts.
        benchmarks: Specifications; see `gseg.scores.benchmarks.open_benchmark`.
        eval_protocol: How pictures are brought to size and where they are scored.
        skip_bad: Whether unreadable files of a benchmark are skipped and listed.
    """

    storage: Path
    benchmarks: tuple[str, ...] = ("scenes",)
    eval_protocol: EvalProtocol = "text"
    skip_bad: bool = False


def run_trial(
    experiment: Experiment,
    setting: Context,
    backend: Backend,
    report: Report = silent,
    *,
    siblings: Sequence[Experiment] = (),
) -> list[Row]:
    """Run an experiment; what is in the storage already is not made again.

    Args:
        experiment: Settings of all stages.
        setting: Storage and benchmarks.
        backend: Who does the heavy work.
        report: Hears how far the stages are.
        siblings: Trials to come whose samples are drawn along, see `gseg.pipeline.sharing`.

    Returns:
        One row for each benchmark and metric profile.
    """
    with trial_runs(setting.storage):
        return _Trial(experiment, setting, Store(setting.storage), backend, report, siblings).rows()


def find_rows(experiment: Experiment, setting: Context, device: str) -> list[Row] | None:
    """Put an experiment's rows together from the storage alone.

    Args:
        experiment: Settings of all stages.
        setting: Storage and benchmarks.
        device: Kind of device that would do the work.

    Returns:
        Its rows, or None if any stage is not complete.
    """
    store = Store(setting.storage, read_only=True)
    try:
        return _Trial(experiment, setting, store, _Nobody(device), silent).rows()
    except NotMadeError:
        return None


def find_parts(experiment: Experiment, setting: Context, device: str) -> TrialParts | None:
    """Find what a trial left in the storage.

    Args:
        experiment: Settings of all stages.
        setting: Storage and benchmarks.
        device: Kind of device that did the work.

    Returns:
        Its artifacts, or None if any is not complete.
    """
    store = Store(setting.storage, read_only=True)
    try:
        return _Trial(experiment, setting, store, _Nobody(device), silent).parts()
    except NotMadeError:
        return None


def note_missing(
    experiment: Experiment, setting: Context, device: str, note: Note, opener: Opener
) -> None:
    """Go an experiment's way without making anything.

    Args:
        experiment: Settings of all stages.
        setting: Storage and benchmarks.
        device: Kind of device that would do the work.
        note: Hears of what is not complete, under the names that a run would give it.
        opener: Opens benchmarks.

    Raises:
        ValueError: The trial would fail by its own fault, after what is noted.
    """
    store = Store(setting.storage, read_only=True, note=note)
    trial = _Trial(experiment, setting, store, _Nobody(device), silent)
    trial.stages(opener=opener)


class _Trial:
    def __init__(
        self,
        experiment: Experiment,
        setting: Context,
        store: Store,
        backend: Backend,
        report: Report,
        siblings: Sequence[Experiment] = (),
    ) -> None:
        self._experiment, self._setting = experiment, setting
        self._store, self._backend, self._report = store, backend, report
        self._siblings = siblings

    def rows(self) -> list[Row]:
        """Go through all stages, and say what came out."""
        parts, distance, scores = self.stages()
        values = dict(self._identity)
        if parts.direction is not None:
            values |= direction_values(parts.direction)
        if distance is not None:
            values |= _distance_values(distance)
        values |= member_values(parts.members)
        return [row for each in scores for row in self._rows_of(each, values)]

    def stages(
        self, opener: Opener = open_anew
    ) -> tuple[TrialParts, MeasuredDistance | None, list[Artifact]]:
        """Go through all stages: up to the networks, the distance, the scores."""
        parts = self.parts()
        distance = self._distance() if parts.direction is not None else None
        return parts, distance, self._scores(parts.members, opener)

    def parts(self) -> TrialParts:
        """Go through the stages up to the networks."""
        if self._experiment.method == "gan":
            return self._generated_parts()
        if self._experiment.method == "true_masks":
            return TrialParts(direction=None, members=(self._true_mask_member(),))
        return TrialParts(direction=None, members=())

    def _generated_parts(self) -> TrialParts:
        experiment = self._experiment
        made = {
            config: make_samples(
                self._store,
                experiment.generator,
                self._wanted(experiment, self._direction, config, count),
                self._backend,
                self._report,
                together=lambda: self._together,
            )
            for config, count in sample_sets(experiment)
        }
        members = []
        for kind in experiment.member_kinds:
            training, *held_out = (
                samples for config, samples in made.items() if config.mask_kind == kind
            )
            training, agreement = self._relabel(self._select(training))
            held_out = [self._relabel(samples)[0] for samples in held_out]
            material = Material(
                training=(self._shrunk(training.pairs),),
                validation=self._shrunk(held_out[0].pairs) if held_out else None,
                parents=(training.digest, *(samples.digest for samples in held_out)),
            )
            segmenter = self._fit(with_labelled(material, experiment.labelled))
            members.append(
                Member(
                    segmenter=segmenter,
                    samples=training,
                    config=training.config,
                    agreement=agreement,
                )
            )
        return TrialParts(direction=self._direction, members=tuple(members))

    def _shrunk(self, pairs: Pairs) -> Pairs:
        return replace(pairs, shrunk=self._experiment.train_resolution)

    def _select(self, samples: SampledSet) -> SampledSet:
        experiment = self._experiment
        if experiment.selection is None:
            return samples
        return make_selection(
            self._store,
            samples,
            experiment.selection,
            experiment.data_size,
            self._backend,
            self._report,
        )

    def _relabel(self, samples: SampledSet) -> tuple[SampledSet, Mapping[str, float | None]]:
        labeller = self._experiment.labeller
        if labeller is None:
            return samples, {}
        return make_relabelled(self._store, samples, labeller, self._backend, self._report)

    @cached_property
    def _identity(self) -> Mapping[str, Any]:
        return identity_values(self._experiment, self._backend.device)

    @cached_property
    def _direction(self) -> Artifact:
        return self._find_direction(self._experiment)

    def _find_direction(self, experiment: Experiment) -> Artifact:
        assert experiment.search is not None
        return make_direction(
            self._store, experiment.generator, experiment.search, self._backend, self._report
        )

    def _wanted(
        self, experiment: Experiment, direction: Artifact, config: SampleConfig, count: int
    ) -> Wanted:
        coloured = with_operators(
            self._store, experiment.generator, direction, config, self._backend
        )
        return Wanted(direction=coloured, config=config, count=count)

    @cached_property
    def _together(self) -> list[Wanted]:
        """Collect the sample sets that this trial and its siblings need."""
        found = []
        for experiment in (self._experiment, *self._siblings):
            try:
                direction = self._find_direction(experiment)
            except ValueError:  # a sibling's own fault, which its own trial will tell of
                _log.info("No direction for a sibling: %s", experiment.label, exc_info=True)
                continue
            found += [
                self._wanted(experiment, direction, config, count)
                for config, count in sample_sets(experiment)
            ]
        return found

    def _true_mask_member(self) -> Member:
        experiment = self._experiment
        if experiment.labelled is not None:
            return Member(
                segmenter=self._fit(labelled_alone(experiment.labelled, experiment.validation_size))
            )
        held_out = Pairs(count=experiment.validation_size, first=VALIDATION_FIRST)
        material = Material(
            training=(Pairs(count=experiment.data_size),),
            validation=held_out if held_out.count else None,
            parents=(SCENES_NAME,),
        )
        return Member(segmenter=self._fit(material))

    def _fit(self, material: Material) -> Artifact:
        config = self._experiment.training
        assert config is not None
        return make_segmenter(self._store, material, config, self._backend, self._report)

    def _scores(self, members: Sequence[Member], opener: Opener) -> list[Artifact]:
        jobs = [
            ScoreJob(
                segmenters=tuple(member.file for member in members),
                baseline="" if members else self._experiment.method,
                benchmark=spec,
                skip_bad=self._setting.skip_bad,
                protocol=self._setting.eval_protocol,
                working_size=self._identity.get("train_resolution"),
                device=self._backend.device if members else "cpu",
            )
            for spec in self._setting.benchmarks
        ]
        parents = [member.segmenter.digest for member in members]
        return make_all_scores(
            self._store, jobs, parents, self._backend, self._report, opener=opener
        )

    def _rows_of(self, scores: Artifact, values: Mapping[str, Any]) -> list[Row]:
        common = {
            **values,
            "benchmark": scores.facts["benchmark"],
            "eval_protocol": self._setting.eval_protocol,
            "skipped": len(scores.facts["skipped"]),
            "scoring_seconds": scores.seconds,
            "scoring_reused": scores.reused,
            "scores": scores.digest,
        }
        return [
            make_row({**common, "metric_profile": profile, **score_values(means)})
            for profile, means in scores.facts["profiles"].items()
        ]

    def _distance(self) -> MeasuredDistance | None:
        experiment = self._experiment
        card = find_card(experiment.generator)
        if experiment.distance is None or not has_reference(card, experiment.distance):
            return None
        assert experiment.samples is not None
        return make_distance(
            self._store,
            card,
            experiment.distance,
            experiment.samples.latents,
            self._backend,
            self._report,
        )


def _distance_values(made: MeasuredDistance) -> dict[str, Any]:
    return {
        "fid": made.facts["value"],
        "fid_protocol": made.facts["protocol"],
        "kid": made.facts["kernel"],
        "kid_deviation": made.facts["kernel_deviation"],
        "kid_protocol": made.facts["kernel_protocol"],
        "fid_seconds": made.seconds,
        "fid_reused": made.reused,
    }


@dataclass(frozen=True, slots=True)
class _Nobody:
    """A backend for looking only."""

    device: Literal["cpu", "cuda"] | str
    cores: None = None

    def call(self, *_: object) -> Mapping[str, Any]:
        raise NotMadeError("work")

    def train(self, *_: object) -> Mapping[str, Any]:
        raise NotMadeError("segmenter")

    def run(self, *_: object) -> dict[int, Any]:
        raise NotMadeError("parts")
