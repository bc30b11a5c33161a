"""The settings that a search may vary: their kind, where they stand, how they are changed."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, get_args

from gseg.directions import CANDIDATE_KINDS, SearchConfig
from gseg.pipeline.experiment import MASK_KINDS
from gseg.recipes.grids import DIRECTION_WAYS
from gseg.samples import FilterConfig, filter_preset, filter_preset_name
from gseg.samples.filters import FilterPreset
from gseg.search.base import Base
from gseg.search.knob import Kind, Knob, Value


def knob(name: str) -> Knob:
    """Look a setting up.

    Args:
        name: Its name.

    Raises:
        ValueError: There is no such setting; the nearest is suggested.
    """
    if name not in KNOBS:
        near = difflib.get_close_matches(name, KNOBS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"Unknown setting {name!r} in a space{hint} There are {', '.join(KNOBS)}.")
    return KNOBS[name]


def turned(base: Base, parameters: Mapping[str, Value]) -> Base:
    """Give settings with other values.

    Args:
        base: What to start from.
        parameters: Values by name; those that mean nothing under the others are left out.

    Returns:
        The settings of a point.

    Raises:
        ValueError: A value is out of range; the message says which.
    """
    for name in _in_order(parameters):
        if KNOBS[name].applies(base):
            base = KNOBS[name].turn(base, parameters[name])
    if "direction" in parameters and not _is_optimised(base):
        base = replace(base, contrast_weight=None)  # one that is the same for all points
    return base


def effective(base: Base, parameters: Mapping[str, Value]) -> dict[str, Value]:
    """Leave out the values that mean nothing under the others, such as λ of a chosen direction."""
    kept = {}
    for name in _in_order(parameters):
        if KNOBS[name].applies(base):
            base = KNOBS[name].turn(base, parameters[name])
            kept[name] = parameters[name]
    return {name: kept[name] for name in parameters if name in kept}


def _in_order(parameters: Mapping[str, Value]) -> list[str]:
    """Order names as in `KNOBS`: what others depend on comes first."""
    return [name for name in KNOBS if name in parameters]


def _axis(name: str, kind: Kind, meaning: str, words: tuple[str, ...] = ()) -> Knob:
    """Make a knob of a field of `Base`."""
    return Knob(
        kind=kind,
        meaning=meaning,
        read=lambda base: getattr(base, name),
        turn=lambda base, value: replace(base, **{name: value}),
        words=words,
    )


def _training(name: str, kind: Kind, meaning: str) -> Knob:
    def turn(base: Base, value: Value) -> Base:
        changed = replace(base.grid.training, **{name: value})  # type: ignore[arg-type]
        return replace(base, grid=replace(base.grid, training=changed, train_preset="search"))

    return Knob(
        kind=kind,
        meaning=meaning,
        read=lambda base: getattr(base.grid.training, name),
        turn=turn,
    )


def _train_steps(base: Base, value: int) -> Base:
    """Change the number of steps; the learning rate decays at the same share of them."""
    training = base.grid.training
    decay = training.decay_at
    if decay is not None:
        decay = max(1, round(decay * value / training.steps))
    changed = replace(training, steps=value, decay_at=decay)
    return replace(base, grid=replace(base.grid, training=changed, train_preset="search"))


def _optimising(name: str, kind: Kind, meaning: str) -> Knob:
    def turn(base: Base, value: Value) -> Base:
        changed: SearchConfig = replace(base.grid.search, **{name: value})  # type: ignore[arg-type]
        return replace(base, grid=replace(base.grid, search=changed))

    return Knob(
        kind=kind,
        meaning=meaning,
        read=lambda base: getattr(base.grid.search, name),
        turn=turn,
        applies=_is_optimised,
    )


def _is_optimised(base: Base) -> bool:
    return base.grid.direction == "optimised"


def _contrast_weight(base: Base) -> float:
    given = base.contrast_weight
    return base.grid.search.contrast_weight if given is None else given


def _epsilon(base: Base) -> float:
    if base.epsilon is not None:
        return base.epsilon
    return base.grid.search.epsilon if _is_optimised(base) else base.grid.choice.epsilon


def _filters(base: Base, changed: FilterConfig) -> Base:
    samples = replace(base.grid.samples, filters=changed)
    return replace(base, grid=replace(base.grid, samples=samples))


def _filter(name: str, meaning: str) -> Knob:
    return Knob(
        kind="number",
        meaning=meaning,
        read=lambda base: getattr(base.grid.samples.filters, name),
        turn=lambda base, value: _filters(
            base, replace(base.grid.samples.filters, **{name: value})
        ),
    )


def _latents(name: str, meaning: str, applies: Callable[[Base], bool] | None = None) -> Knob:
    def turn(base: Base, value: Value) -> Base:
        samples = base.grid.samples
        latents = replace(samples.latents, **{name: value})  # type: ignore[arg-type]
        changed = replace(samples, latents=latents)
        return replace(base, grid=replace(base.grid, samples=changed))

    return Knob(
        kind="number",
        meaning=meaning,
        read=lambda base: getattr(base.grid.samples.latents, name),
        turn=turn,
        applies=applies or (lambda base: True),
    )


KNOBS: Final[Mapping[str, Knob]] = MappingProxyType(
    {
        "generator": _axis("generator", "word", "catalogue name"),
        "direction": Knob(
            kind="word",
            meaning="how directions are found",
            read=lambda base: base.grid.direction,
            turn=lambda base, value: replace(base, grid=replace(base.grid, direction=value)),
            words=DIRECTION_WAYS,
        ),
        "candidates": Knob(
            kind="word",
            meaning="candidates of a chosen direction",
            read=lambda base: base.grid.choice.candidates.kind,
            turn=lambda base, value: replace(base, grid=base.grid.with_candidates(value)),
            words=CANDIDATE_KINDS,
            applies=lambda base: not _is_optimised(base),
        ),
        "contrast_weight": Knob(
            kind="number",
            meaning="λ of an optimised direction",
            read=_contrast_weight,
            turn=lambda base, value: replace(base, contrast_weight=float(value)),
            applies=_is_optimised,
        ),
        "epsilon": Knob(
            kind="number",
            meaning="ε of the search and of the masks",
            read=_epsilon,
            turn=lambda base, value: replace(base, epsilon=float(value)),
        ),
        "epsilon_sample": Knob(
            kind="number",
            meaning="ε of the masks alone",
            read=lambda base: base.grid.sample_epsilon or _epsilon(base),
            turn=lambda base, value: replace(
                base, grid=replace(base.grid, sample_epsilon=float(value))
            ),
        ),
        "search_steps": _optimising("steps", "count", "updates of an optimised direction"),
        "search_learning_rate": _optimising(
            "learning_rate", "number", "learning rate of an optimised direction"
        ),
        "mask_kind": _axis("mask_kind", "word", "what masks are made from", MASK_KINDS),
        "data_size": _axis("data_size", "count", "samples to train on"),
        "truncation": _latents("truncation", "truncation of the generator"),
        "alpha": _latents(
            "alpha",
            "α, noise around embeddings",
            lambda base: base.grid.samples.latents.source == "embeddings",
        ),
        "filters": Knob(
            kind="word",
            meaning="preset of the filters",
            read=lambda base: filter_preset_name(base.grid.samples.filters),
            turn=lambda base, value: _filters(base, filter_preset(value)),
            words=get_args(FilterPreset),
        ),
        "min_share": _filter("min_share", "least share of foreground"),
        "max_share": _filter("max_share", "greatest share of foreground"),
        "component_share": _filter("component_share", "components below it are cut away"),
        "min_contrast": _filter("min_contrast", "least change of brightness"),
        "min_roundness": _filter("min_roundness", "least roundness of the largest component"),
        "train_learning_rate": _training("learning_rate", "number", "learning rate of training"),
        "train_steps": Knob(
            kind="count",
            meaning="updates in training; the rate decays at the same share of them",
            read=lambda base: base.grid.training.steps,
            turn=_train_steps,
        ),
        "train_batch": _training("batch", "count", "samples in an update"),
        "train_width": _training("width", "count", "channels of the U-Net's first level"),
    }
)
"""Settings by name; those that others depend on come before them."""
