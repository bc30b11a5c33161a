"""What a sweep will cost: estimates of stages, and the work that is left.

The rates are measured (one thread of a server CPU of 2024; one H100-class GPU) and good to a
factor of two: enough to decide where a stage runs and to say how long a sweep takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from gseg.directions import ChoiceConfig, DirectionConfig, LearntConfig
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.jobs.fit import SCENES_SIDE, cached_generator
from gseg.segmenters import FitConfig
from gseg.storage.store import digest

_DRAW_FLOPS: Final = {"cpu": 6e10, "cuda": 2e13}
"""Floating-point operations a second of a generator's forward pass."""
_FIT_UNITS: Final = {"cpu": 2.5e8, "cuda": 2e11}
"""steps x batch x pixels x width**2 a second of a U-Net's training."""
_FORWARDS: Final = 2.0
"""Forward passes for a candidate: the picture and one shifted picture."""
_SCORE_PIXELS: Final = {"cpu": 2e6, "cuda": 5e7}
"""Pixels a second of scoring, reading included."""
_DIRECTION_FACTOR: Final = 6.0
"""Cost of a search's step for each latent, in forward passes."""
_LEARNT_FACTOR: Final = 1.0
"""Cost of a step of learning directions against a search's: one shifted picture instead of two,
and the network that tells shifts apart."""

_ACCEPTANCE: Final = 0.7
"""Share of candidates that filters accept, until it is measured."""
_FEATURE_SECONDS: Final = {"cpu": 5e-4, "cuda": 1e-4}
"""Features of a picture of scenes, generated or rendered."""
_BACKBONE_SECONDS: Final = {"cpu": 0.25, "cuda": 1e-3}
"""Features of a picture by the Inception network or a ResNet-50."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """What estimates need to know of a generator.

    Attributes:
        flops: Floating-point operations of one picture.
        resolution: Side of its pictures in pixels.
    """

    flops: int
    resolution: int


@lru_cache(maxsize=256)
def generator_size(generator: str) -> Size:
    """Measure a generator, once for each process.

    Args:
        generator: Catalogue name; it is loaded.

    Returns:
        Its size.
    """
    model = cached_generator(generator, "cpu")
    z = torch.zeros(1, model.card.latent_dim)
    y = torch.zeros(1, dtype=torch.int64) if model.card.num_classes else None
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(model.code(z), y)
    return Size(flops=int(counter.get_total_flops()), resolution=model.card.resolution)


def draw_seconds(generator: str, candidates: int, device: str) -> float:
    """Estimate drawing candidates, in one-thread seconds of the device."""
    return _FORWARDS * candidates * generator_size(generator).flops / _DRAW_FLOPS[device]


def direction_seconds(generator: str, steps: int, batch: int, device: str) -> float:
    """Estimate a search for a direction, in one-thread seconds of the device."""
    work = _DIRECTION_FACTOR * steps * batch * generator_size(generator).flops
    return work / _DRAW_FLOPS[device]


def learning_seconds(generator: str, config: LearntConfig, device: str) -> float:
    """Estimate learning candidate directions, in one-thread seconds of the device."""
    return _LEARNT_FACTOR * direction_seconds(generator, config.steps, config.batch, device)


def fit_seconds(config: FitConfig, side: int, device: str) -> float:
    """Estimate a training on pictures of this side, in one-thread seconds of the device."""
    return config.steps * config.batch * side**2 * config.width**2 / _FIT_UNITS[device]


def score_seconds(pictures: int, working_size: int | None, device: str) -> float:
    """Estimate scoring a benchmark, in one-thread seconds of the device."""
    return pictures * (working_size or 128) ** 2 * 1.5 / _SCORE_PIXELS[device]


def features_seconds(generator: str, pictures: int, features: str, device: str) -> float:
    """Estimate taking the features of pictures, in one-thread seconds of the device.

    Args:
        generator: Catalogue name of what makes them; empty for pictures that are there.
        pictures: How many.
        features: Name of the feature network.
        device: Kind of device.

    Returns:
        Seconds.
    """
    rates = _FEATURE_SECONDS if features == "scenes" else _BACKBONE_SECONDS
    made = draw_seconds(generator, pictures, device) / _FORWARDS if generator else 0.0
    return made + pictures * rates[device]


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPlan:
    """What a sweep will do.

    Attributes:
        estimates: One-thread seconds of each experiment, stages that several share counted once,
            with the first that needs them.
        largest: Seconds of the largest single stage.
        stages: Distinct stages by kind.
        naive_stages: Stages that the experiments would need if nothing were shared.
        disk_bytes: Space that new samples take at most.
    """

    estimates: tuple[float, ...]
    largest: float
    stages: dict[str, int]
    naive_stages: int
    disk_bytes: int

    @property
    def seconds(self) -> float:
        """One-thread seconds of all stages."""
        return sum(self.estimates)


@dataclass(frozen=True, slots=True)
class _Stage:
    kind: str
    name: str
    seconds: float
    disk_bytes: int = 0


def make_plan(
    experiments: Sequence[Experiment], pictures: int, working_size: int | None, device: str
) -> SweepPlan:
    """Estimate a sweep and count the stages that its experiments share.

    Args:
        experiments: In the order in which they start.
        pictures: Labelled pictures of all benchmarks.
        working_size: Side at which they are scored, if known.
        device: Kind of device of the stages.

    Returns:
        The plan.
    """
    seen: dict[tuple[str, str], _Stage] = {}
    estimates, naive, drawn = [], 0, {}
    for experiment in experiments:
        stages = _stages(experiment, pictures, working_size, device)
        naive += len(stages)
        fresh = 0.0
        for stage in stages:
            key = (stage.kind, stage.name)
            # A larger sample set extends a smaller one: only what is new counts.
            known = seen.get(key)
            if known is None or stage.seconds > known.seconds:
                fresh += stage.seconds - (known.seconds if known else 0.0)
                seen[key] = stage
                drawn[key] = stage.disk_bytes
        estimates.append(fresh)
    kinds = [kind for kind, _ in seen]
    return SweepPlan(
        estimates=tuple(estimates),
        largest=max((stage.seconds for stage in seen.values()), default=0.0),
        stages={kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        naive_stages=naive,
        disk_bytes=sum(drawn.values()),
    )


def _stages(
    experiment: Experiment, pictures: int, working_size: int | None, device: str
) -> list[_Stage]:
    stages: list[_Stage] = []
    side = SCENES_SIDE
    if experiment.method == "gan":
        stages, side = _generated_stages(experiment, device)
    elif experiment.labelled is not None:
        side = experiment.labelled.side
    if experiment.training is not None:
        for kind in experiment.member_kinds:
            name = digest(replace(experiment, recipe="", train_preset="", distance=None), kind)
            stages.append(_Stage("segmenter", name, fit_seconds(experiment.training, side, device)))
    scoring = score_seconds(pictures, working_size or side, device)
    stages.append(_Stage("scoring", experiment.digest, scoring))
    return stages


def _direction_stages(
    generator: str, search: DirectionConfig, name: str, device: str
) -> list[_Stage]:
    """List what a direction needs: with candidates, if it is chosen among them."""
    if not isinstance(search, ChoiceConfig):
        cost = direction_seconds(generator, search.steps, search.batch, device)
        return [_Stage("direction", name, cost)]
    candidates, affine = search.candidates, search.affine
    each = search.pictures or (affine.steps + affine.test_batches) * affine.batch
    cost = draw_seconds(generator, round((candidates.count + 1) * each / _FORWARDS), device)
    made = 0.0
    if candidates.learnt is not None:
        made = learning_seconds(generator, candidates.learnt, device)
    elif candidates.kind == "pca":
        made = draw_seconds(generator, round(candidates.samples / _FORWARDS), device)
    return [
        _Stage("candidate set", digest(generator, candidates), made),
        _Stage("direction", name, cost),
    ]


def _generated_stages(experiment: Experiment, device: str) -> tuple[list[_Stage], int]:
    assert experiment.search is not None
    assert experiment.samples is not None
    name, search = experiment.generator, experiment.search
    direction = digest(name, search)
    stages = _direction_stages(name, search, direction, device)
    side = generator_size(name).resolution
    for kind in experiment.member_kinds:
        for part, count in (
            ("training", experiment.drawn_size),
            ("validation", experiment.validation_size),
        ):
            config = digest(direction, replace(experiment.samples, mask_kind=kind), part)
            candidates = round(count / _ACCEPTANCE)
            stages.append(
                _Stage(
                    "sample set",
                    config,
                    draw_seconds(name, candidates, device),
                    count * (3 * side**2 + side**2 // 8),
                )
            )
    if experiment.distance is not None:
        distance = experiment.distance
        cost = features_seconds(name, distance.count, distance.features, device)
        stages.append(_Stage("distance", digest(name, experiment.distance), cost))
    wanted = experiment.train_resolution or side
    if wanted > side:
        raise ValueError(
            f"Samples of {name} have {side} px and can be shrunk, not enlarged: choose a "
            f"train_resolution of at most {side}, got {wanted}."
        )
    return stages, wanted
