"""One trial from a grid's settings, and all combinations of what a recipe varies."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gseg.directions import ChoiceConfig, DirectionConfig
from gseg.pipeline.experiment import Experiment, LabelledPairs, TrialMaskKind
from gseg.recipes.generators import main_generators, resolution
from gseg.recipes.grids import Axes, Grid

ASSUMED_MASKS: Final[tuple[TrialMaskKind, ...]] = ("both",)
"""Masks of the tables that do not name theirs."""


def combinations(grid: Grid, axes: Axes, recipe: str) -> list[Experiment]:
    """Combine everything that a sweep varies.

    Args:
        grid: Settings.
        axes: What varies; values given twice count once, masks are ``lighter`` by default.
        recipe: Who asks.

    Returns:
        The experiments, largest data first and generators next to each other varying fastest, so
        that trials that share a stage do not start at the same time.

    Raises:
        ValueError: A value is out of range; the message says which.
    """
    sizes = sorted(axes.data_sizes or grid.data_sizes, reverse=True)
    weights: Sequence[float | None] = axes.contrast_weights or (None,)
    epsilons: Sequence[float | None] = axes.epsilons or (None,)
    kinds: Sequence[TrialMaskKind] = axes.mask_kinds or ("lighter",)
    found: list[Experiment] = []
    for size, seed, kind in itertools.product(sizes, axes.seeds, kinds):
        for weight, epsilon, name in itertools.product(weights, epsilons, axes.generators):
            made = trial(grid, name, weight, epsilon, size, kind, seed)
            found.append(replace(made, recipe=recipe))
    return list(dict.fromkeys(found))


def table_trials(name: str, grid: Grid, axes: Axes, own: Axes) -> list[Experiment]:
    """Make a table's trials of the paper's main generator, or of those asked for.

    Args:
        name: Of the table.
        grid: Settings.
        axes: What is asked for.
        own: What the table varies.

    Returns:
        All combinations.
    """
    generators = axes.generators or main_generators(grid.name)
    return combinations(grid, filled(grid, replace(axes, generators=generators), own), name)


def filled(grid: Grid, axes: Axes, own: Axes) -> Axes:
    """Give empty axes a table's own values, and one number of samples."""
    size = () if grid.table_size is None else (grid.table_size,)
    return replace(
        axes,
        contrast_weights=axes.contrast_weights or own.contrast_weights,
        epsilons=axes.epsilons or own.epsilons,
        data_sizes=axes.data_sizes or own.data_sizes or size or (max(grid.data_sizes),),
        mask_kinds=axes.mask_kinds or own.mask_kinds,
    )


def without_distance(grid: Grid) -> Grid:
    """Leave the generators' distances out, which ablations do not look at."""
    return replace(grid, distance=None)


def trial(
    grid: Grid,
    name: str,
    weight: float | None,
    epsilon: float | None,
    size: int,
    kind: TrialMaskKind,
    seed: int,
) -> Experiment:
    """Make one trial.

    Args:
        grid: Settings.
        name: Of the generator.
        weight: λ; None for the grid's.
        epsilon: ε of the search and of the masks; None for the grid's.
        size: Number of samples.
        kind: Of masks.
        seed: Of all stages.

    Returns:
        The experiment.

    Raises:
        ValueError: A value is out of range.
    """
    search = _direction(grid, weight, seed)
    samples = replace(grid.samples, seed=seed)
    if epsilon is not None:
        search = replace(search, epsilon=epsilon)
    if grid.sample_epsilon is not None:
        samples = replace(samples, epsilon=grid.sample_epsilon)
    elif epsilon is not None or isinstance(search, ChoiceConfig):
        samples = replace(samples, epsilon=search.epsilon)
    return Experiment(
        generator=name,
        search=search,
        samples=samples,
        mask_kind=kind,
        selection=grid.selection,
        data_size=size,
        validation_size=grid.validation_size,
        training=replace(grid.training, seed=seed),
        train_preset=grid.train_preset,
        labelled=labelled_pairs(grid.labelled, name, seed),
        distance=grid.distance,
    )


def labelled_pairs(
    labelled: LabelledPairs | None, generator: str, seed: int
) -> LabelledPairs | None:
    """Bring labelled pictures to the size of a generator's, and choose them by a trial's seed."""
    if labelled is None:
        return None
    return replace(labelled, side=resolution(generator), seed=seed)


def ceiling(grid: Grid, size: int, seed: int, recipe: str) -> Experiment:
    """Make the trial of the same network trained with the scenes' true masks.

    Args:
        grid: Settings.
        size: Number of scenes.
        seed: Of the training.
        recipe: Who asks.
    """
    return Experiment(
        method="true_masks",
        data_size=size,
        validation_size=grid.validation_size,
        training=replace(grid.training, seed=seed),
        train_preset=grid.train_preset,
        recipe=recipe,
    )


def baselines(recipe: str) -> list[Experiment]:
    """The two methods that learn nothing: Otsu's threshold and a disc in the centre."""
    return [
        Experiment(method="otsu", recipe=recipe),
        Experiment(method="centre_disc", recipe=recipe),
    ]


def _direction(grid: Grid, weight: float | None, seed: int) -> DirectionConfig:
    if grid.direction == "optimised":
        search = replace(grid.search, seed=seed)
        return search if weight is None else replace(search, contrast_weight=weight)
    if weight is not None:
        raise ValueError(
            f"λ ({weight}) weighs the losses of an optimised direction, but directions are to be "
            f"chosen ({grid.direction}): leave one of the two out."
        )
    return replace(grid.choice, rule=grid.direction).with_seed(seed)
