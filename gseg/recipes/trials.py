"""One trial from a grid's settings, and all combinations of what a sweep varies."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gseg.directions.config import ChoiceConfig, DirectionConfig
from gseg.pipeline.experiment import Experiment, LabelledPairs, TrialMaskKind
from gseg.pipeline.settings import Setting, Value, lie_near_embeddings, replaced
from gseg.pipeline.settings import axes as setting_axes
from gseg.recipes.generators import main_generators, resolution
from gseg.recipes.grids import Axes, Grid, seeds_of

ASSUMED_MASKS: Final[tuple[TrialMaskKind, ...]] = ("both",)
"""Masks of the tables that do not name theirs."""
RECIPE_AXES: Final = ("generator", "contrast_weight", "epsilon", "data_size", "mask_kind", "seed")
"""Axes that recipes vary themselves; all others change the grid that a recipe gets."""
_OWN: Final = "own"
"""Name of training settings that are no preset's."""


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
    unknown = sorted(set(axes) - set(setting_axes()))
    if unknown:
        raise ValueError(f"No axis of sweeps: {', '.join(unknown)}; {', '.join(setting_axes())}.")
    sizes = sorted(axes.get("data_size", grid.data_sizes), reverse=True)
    weights: Sequence[float | None] = axes.get("contrast_weight", (None,))
    epsilons: Sequence[float | None] = axes.get("epsilon", (None,))
    kinds: Sequence[TrialMaskKind] = axes.get("mask_kind", ("lighter",))
    names: Sequence[str] = axes.get("generator", ())
    found: list[Experiment] = []
    for size, seed, kind in itertools.product(sizes, seeds_of(axes), kinds):
        for weight, epsilon, name in itertools.product(weights, epsilons, names):
            made = trial(grid, name, weight, epsilon, size, kind, seed)
            found.append(replace(made, recipe=recipe))
    return list(dict.fromkeys(found))


def varied_grids(grid: Grid, axes: Axes) -> list[Grid]:
    """Combine the axes that recipes know nothing of.

    Args:
        grid: Settings.
        axes: What a sweep varies; those of `RECIPE_AXES` are left out.

    Returns:
        A grid for each combination.

    Raises:
        ValueError: A value is out of range, or means nothing under the other settings.
    """
    names = [name for name in setting_axes() if name in axes and name not in RECIPE_AXES]
    combined = itertools.product(*(dict.fromkeys(axes[name]) for name in names))
    return [turned(grid, dict(zip(names, values, strict=True))) for values in combined]


def turned(grid: Grid, values: Mapping[str, Value], *, leave_out: bool = False) -> Grid:
    """Give a grid with other values.

    Args:
        grid: Settings.
        values: By axis; none of `RECIPE_AXES`.
        leave_out: Whether values that mean nothing under the others are left out.

    Raises:
        ValueError: A value is out of range, or means nothing under the other settings.
    """
    for name, setting in setting_axes().items():
        if name not in values:
            continue
        if (why := _means_nothing(grid, setting)) and not leave_out:
            raise ValueError(f"{setting.flag} {values[name]} {why}")
        if not why:
            grid = _turned(grid, setting, values[name])
    return grid


def _means_nothing(grid: Grid, setting: Setting) -> str:
    """Say why a setting means nothing under the others; empty if it does."""
    if setting.is_of_optimised and grid.direction != "optimised":
        return (
            "belongs to optimised directions, but directions are to be chosen "
            f"({grid.direction}): leave one of the two out."
        )
    if setting.needs_embeddings and not lie_near_embeddings(grid.samples):
        return "is about latents near embeddings: name their file (--embeddings FILE.npy)."
    return ""


def _turned(grid: Grid, setting: Setting, value: Value) -> Grid:
    if setting.kind == "number":
        value = float(value)  # 3 and 3.0 are one value, and have one name

    def change(holder: Any, field: str) -> Any:  # noqa: ANN401 any config
        if setting.turn is not None:
            return setting.turn(holder, value)
        return replace(holder, **{field: value})

    path = setting.grid_path or setting.path
    if path.startswith("training."):
        grid = replace(grid, train_preset=_OWN, curve_preset=_OWN)
        if grid.curve_training is not None:
            grid = replaced(grid, f"curve_{path}", change)
    changed: Grid = replaced(grid, path, change)
    return changed


def point_trials(
    grid: Grid, values: Mapping[str, Any], seeds: Sequence[int], recipe: str
) -> list[Experiment]:
    """Make the trials of a point of a search.

    Args:
        grid: All other settings.
        values: By axis; ``generator`` and ``data_size`` among them. Those that mean nothing under
            the others are left out.
        seeds: A trial for each.
        recipe: Who asks.

    Raises:
        ValueError: A value is out of range.
    """
    others = {name: value for name, value in values.items() if name not in RECIPE_AXES}
    made = turned(grid, others, leave_out=True)
    given = {name: float(values[name]) for name in ("contrast_weight", "epsilon") if name in values}
    weight = given.get("contrast_weight") if made.direction == "optimised" else None
    found = [
        trial(
            made,
            values["generator"],
            weight,
            given.get("epsilon"),
            values["data_size"],
            values.get("mask_kind", "lighter"),
            seed,
        )
        for seed in seeds
    ]
    return [replace(each, recipe=recipe) for each in found]


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
    own = {"generator": main_generators(grid.name), **own}
    return combinations(grid, filled(grid, axes, own), name)


def filled(grid: Grid, axes: Axes, own: Axes) -> Axes:
    """Give empty axes a table's own values, and one number of samples."""
    return {"data_size": (grid.table_size or max(grid.data_sizes),), **own, **axes}


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
