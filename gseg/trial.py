"""One trial: all stages of one experiment, and the rows that come out."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from gseg.artifacts import Artifact, NotMadeError, Store, versions
from gseg.experiment import Experiment
from gseg.generators import GeneratorCard, list_generators, load_generator
from gseg.jobs import SCENES_SIDE, Backend, Pairs, ScoreJob
from gseg.progress import Report, silent
from gseg.randomness import derive_seed
from gseg.rows import Row, make_row
from gseg.samples import SampleConfig, filter_preset_name
from gseg.scenes.pictures import VALIDATION_FIRST
from gseg.scores.batches import EvalProtocol
from gseg.scores.protocol import Scores
from gseg.stages import (
    SampledSet,
    make_direction,
    make_distance,
    make_samples,
    make_scores,
    make_segmenter,
)

_SCENES_VERSION = "scenes-1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One trained network of a trial.

    Attributes:
        segmenter: Its artifact.
        samples: What it was trained on; None for true masks.
        config: How those samples were drawn; None for true masks.
    """

    segmenter: Artifact
    samples: SampledSet | None = None
    config: SampleConfig | None = None

    @property
    def file(self) -> Path:
        """The segmenter's file."""
        return self.segmenter.folder / "segmenter.safetensors"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialParts:
    """What a trial leaves in the storage.

    Attributes:
        direction: Its direction; None for methods without a generator.
        members: Its networks; none for baselines.
    """

    direction: Artifact | None
    members: tuple[Member, ...]


def run_trial(
    experiment: Experiment, setting: Setting, backend: Backend, report: Report = silent
) -> list[Row]:
    """Run an experiment; what is in the storage already is not made again.

    Args:
        experiment: Settings of all stages.
        setting: Storage and benchmarks.
        backend: Who does the heavy work.
        report: Hears how far the stages are.

    Returns:
        One row for each benchmark and metric profile.
    """
    return _Trial(experiment, setting, Store(setting.storage), backend, report).rows()


def find_rows(experiment: Experiment, setting: Setting, device: str) -> list[Row] | None:
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


def find_parts(experiment: Experiment, setting: Setting, device: str) -> TrialParts | None:
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


class _Trial:
    def __init__(
        self,
        experiment: Experiment,
        setting: Setting,
        store: Store,
        backend: Backend,
        report: Report,
    ) -> None:
        self._experiment, self._setting = experiment, setting
        self._store, self._backend, self._report = store, backend, report

    def rows(self) -> list[Row]:
        """Go through all stages."""
        parts = self.parts()
        values = self._identity()
        if parts.direction is not None:
            values |= _direction_values(parts.direction)
            values |= self._distance_values()
        values |= _member_values(parts.members)
        return [
            row
            for spec in self._setting.benchmarks
            for row in self._score(spec, parts.members, values)
        ]

    def parts(self) -> TrialParts:
        """Go through the stages up to the networks."""
        if self._experiment.method == "gan":
            return self._generated_parts()
        if self._experiment.method == "true_masks":
            return TrialParts(direction=None, members=(self._true_mask_member(),))
        return TrialParts(direction=None, members=())

    def _generated_parts(self) -> TrialParts:
        experiment = self._experiment
        assert experiment.search is not None
        assert experiment.samples is not None
        direction = make_direction(
            self._store, experiment.generator, experiment.search, self._backend, self._report
        )
        members = []
        for kind in experiment.member_kinds:
            config = replace(experiment.samples, mask_kind=kind)
            held_out = replace(config, seed=derive_seed(config.seed, "validation"))
            training, validation = (
                make_samples(
                    self._store,
                    experiment.generator,
                    direction,
                    part,
                    count,
                    self._backend,
                    self._report,
                )
                for part, count in (
                    (config, experiment.data_size),
                    (held_out, experiment.validation_size),
                )
            )
            parents = [training.digest, validation.digest]
            segmenter = self._fit(training.pairs, validation.pairs, parents)
            members.append(Member(segmenter=segmenter, samples=training, config=config))
        return TrialParts(direction=direction, members=tuple(members))

    def _true_mask_member(self) -> Member:
        training = Pairs(count=self._experiment.data_size)
        validation = Pairs(count=self._experiment.validation_size, first=VALIDATION_FIRST)
        segmenter = self._fit(training, validation, [_SCENES_VERSION])
        return Member(segmenter=segmenter)

    def _fit(self, training: Pairs, validation: Pairs, parents: list[str]) -> Artifact:
        config = self._experiment.training
        assert config is not None
        return make_segmenter(
            self._store, training, validation, parents, config, self._backend, self._report
        )

    def _score(self, spec: str, members: Sequence[Member], values: Mapping[str, Any]) -> list[Row]:
        method = self._experiment.method
        job = ScoreJob(
            segmenters=tuple(member.file for member in members),
            baseline="" if members else method,
            benchmark=spec,
            skip_bad=self._setting.skip_bad,
            protocol=self._setting.eval_protocol,
            working_size=values.get("train_resolution"),
            device=self._backend.device if members else "cpu",
        )
        parents = [member.segmenter.digest for member in members]
        scores = make_scores(self._store, job, parents, self._backend, self._report)
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
            make_row({**common, "metric_profile": profile, **_score_values(means)})
            for profile, means in scores.facts["profiles"].items()
        ]

    def _distance_values(self) -> dict[str, Any]:
        experiment = self._experiment
        if experiment.distance is None or _card(experiment.generator).dataset != "scenes":
            return {}
        made = make_distance(
            self._store, experiment.generator, experiment.distance, self._backend, self._report
        )
        return {
            "fid": made.facts["value"],
            "fid_protocol": made.facts["protocol"],
            "fid_seconds": made.seconds,
            "fid_reused": made.reused,
        }

    def _identity(self) -> dict[str, Any]:
        experiment = self._experiment
        values: dict[str, Any] = {
            "experiment": experiment.digest,
            "method": experiment.method,
            "recipe": experiment.recipe,
            "generator": experiment.generator,
            "supervision": "true masks" if experiment.method == "true_masks" else "none",
            **_provenance(),
        }
        if experiment.method == "gan":
            values |= _generator_values(experiment)
        training = experiment.training
        if training is not None:
            values |= {
                "data_size": experiment.data_size,
                "train_steps": training.steps,
                "train_batch": training.batch,
                "train_width": training.width,
                "train_preset": experiment.train_preset,
                "train_replicas": training.replicas,
                "train_seed": training.seed,
                "train_resolution": values.get("resolution", SCENES_SIDE),
                "device": self._backend.device,
            }
        return values


def _generator_values(experiment: Experiment) -> dict[str, Any]:
    search, samples = experiment.search, experiment.samples
    assert search is not None
    assert samples is not None
    card = _card(experiment.generator)
    return {
        "family": card.family,
        "dataset": card.dataset,
        "resolution": card.resolution,
        "supervision": card.supervision,
        "published_fid": card.published_fid,
        "published_fid_protocol": card.fid_protocol or None,
        "objective": search.objective,
        "contrast_weight": search.contrast_weight,
        "centre_prior": search.centre_prior,
        "epsilon_search": search.epsilon,
        "epsilon_sample": samples.epsilon,
        "mask_kind": experiment.mask_kind,
        "mask_rule": samples.mask_rule,
        "filters": filter_preset_name(samples.filters),
        "latent_source": "prior",
        "direction_seed": search.seed,
        "sample_seed": samples.seed,
    }


def _direction_values(direction: Artifact) -> dict[str, Any]:
    facts = direction.facts
    return {
        "edge_loss": facts["losses"]["lighter_edges"],
        "contrast_loss": facts["losses"]["lighter_contrast"],
        "cosine": facts["cosine"],
        "two_affine_ratio": facts.get("two_affine_ratio"),
        "direction_seconds": direction.seconds,
        "direction_reused": direction.reused,
    }


def _member_values(members: Sequence[Member]) -> dict[str, Any]:
    """Sum up the networks of a trial: counts and seconds add, shares and scores are averaged."""
    if not members:
        return {}
    facts = [member.segmenter.facts for member in members]
    values: dict[str, Any] = {
        "validation_iou": sum(fact["validation_iou"] for fact in facts) / len(facts),
        "foreground_share": sum(fact["foreground_share"] for fact in facts) / len(facts),
        "peak_memory_mib": max(fact["peak_memory_mib"] for fact in facts),
        "training_seconds": sum(member.segmenter.seconds for member in members),
        "training_reused": all(member.segmenter.reused for member in members),
    }
    sets = [member.samples for member in members if member.samples is not None]
    if sets:
        counts = [samples.counts for samples in sets]
        values |= {
            "candidates": sum(count["candidates"] for count in counts),
            "accepted": sum(count["accepted"] for count in counts),
            "samples_seconds": sum(samples.seconds for samples in sets),
            "samples_reused": all(samples.reused for samples in sets),
        }
        for reason in ("histogram", "empty", "components", "area", "agreement"):
            values[f"rejected_{reason}"] = sum(count.get(reason, 0) for count in counts)
    return values


def _score_values(means: Mapping[str, Any]) -> dict[str, Any]:
    names = ("accuracy", "iou", "f_beta", "max_f_beta", "images", "degenerate_masks")
    return {name: means[name] for name in names}


@cache
def _card(name: str) -> GeneratorCard:
    for card in list_generators():
        if card.name == name:
            return card
    return load_generator(name).card


@cache
def _provenance() -> dict[str, Any]:
    found = versions()
    return {
        "gseg_version": found.get("gseg"),
        "python_version": found.get("python"),
        "torch_version": found.get("torch"),
        "ray_version": found.get("ray"),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Name the commit of the source tree; None for an installed package."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


@dataclass(frozen=True, slots=True)
class _Nobody:
    """A backend for looking only."""

    device: Literal["cpu", "cuda"] | str

    def draw(self, *_: object) -> None:
        raise NotMadeError("samples")

    def fit(self, *_: object) -> Mapping[str, Any]:
        raise NotMadeError("segmenter")

    def score(self, *_: object) -> Scores:
        raise NotMadeError("scores")
