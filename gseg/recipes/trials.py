"""One trial from a grid's settings, and all combinations of what a sweep varies."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gseg.directions.config import ChoiceConfig
from gseg.pipeline.experiment import Experiment, LabelledPairs, TrialMaskKind
from gseg.pipeline.settings import Setting, Value, lie_near_embeddings, replaced
from gseg.pipeline.settings import axes as setting_axes
from gseg.recipes.generators import main_generators, resolution
from gseg.recipes.grids import Axes, Grid, seeds_of
from gseg.scores.specs import Rule

ASSUMED_MASKS: Final[tuple[TrialMaskKind, ...]] = ("both",)
"""Masks of the tables that do not name theirs."""
_BASELINES: Final[tuple[Rule, ...]] = ("otsu", "centre_disc", "grabcut")
# Axes that are no part of a grid.
_OF_TRIALS: Final = ("generator", "data_size", "mask_kind", "rule", "seed")
_OF_SEARCHES: Final = ("contrast_weight", "epsilon")
RECIPE_AXES: Final = (*_OF_TRIALS, *_OF_SEARCHES)
"""Axes that recipes vary themselves; all others change the grid that a recipe gets."""
# Name of training settings that are no preset's.
_OWN: Final = "own"


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
    kinds: Sequence[TrialMaskKind] = axes.get("mask_kind", ("lighter",))
    # λ and ε turn the grid itself, so that whatever follows from them (the masks' shift, a chosen
    # direction's) is decided in one place.
    turned_ones = _combined(grid, axes, _OF_SEARCHES)
    return [
        each
        for size, seed, kind in itertools.product(sizes, seeds_of(axes), kinds)
        for one, name in itertools.product(turned_ones, axes.get("generator", ()))
        for each in [trial(one, name, size, kind, seed, recipe)]
    ]


def varied_grids(grid: Grid, axes: Axes) -> list[Grid]:
    """Combine the axes that recipes know nothing of: a grid for each combination.

    Raises:
        ValueError: A value is out of range, or means nothing under the other settings.
    """
    return _combined(grid, axes, [name for name in setting_axes() if name not in RECIPE_AXES])


def _combined(grid: Grid, axes: Axes, names: Sequence[str]) -> list[Grid]:
    names = [name for name in names if name in axes]
    values = itertools.product(*(dict.fromkeys(axes[name]) for name in names))
    return [turned(grid, dict(zip(names, each, strict=True))) for each in values]


def turned(grid: Grid, values: Mapping[str, Value], *, leave_out: bool = False) -> Grid:
    """Give a grid with other values.

    Args:
        grid: Settings.
        values: By axis; those that are no part of a grid, such as ``generator``, are left out.
        leave_out: Whether values that mean nothing under the others are left out, too.

    Raises:
        ValueError: A value is out of range, or means nothing under the other settings.
    """
    for name, setting in setting_axes().items():
        if name not in values or name in _OF_TRIALS:
            continue
        if not (why := _means_nothing(grid, setting)):
            grid = _turned(grid, setting, values[name])
        elif not leave_out:
            raise ValueError(f"{setting.flag} {values[name]} {why}")
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
    made = turned(grid, values, leave_out=True)
    name, size, kind = values["generator"], values["data_size"], values.get("mask_kind", "lighter")
    return [trial(made, name, size, kind, seed, recipe) for seed in seeds]


def table_trials(name: str, grid: Grid, axes: Axes, own: Axes) -> list[Experiment]:
    """Combine what is asked for, else what a table varies, of the paper's main generator."""
    own = {"generator": main_generators(grid.name), **own}
    return combinations(grid, filled(grid, axes, own), name)


def ablation_trials(name: str, grid: Grid, axes: Axes, own: Axes) -> list[Experiment]:
    """Do the same without the generators' distances, which ablations do not look at."""
    return table_trials(name, replace(grid, distance=None), axes, own)


def filled(grid: Grid, axes: Axes, own: Axes) -> Axes:
    """Give empty axes a table's own values, and one number of samples."""
    return {"data_size": (grid.table_size or max(grid.data_sizes),), **own, **axes}


def trial(
    grid: Grid, name: str, size: int, kind: TrialMaskKind, seed: int, recipe: str
) -> Experiment:
    """Make the trial of a generator with one number of samples, kind of masks and seed.

    Raises:
        ValueError: A value is out of range.
    """
    optimised = grid.direction == "optimised"
    search: Any = grid.search if optimised else grid.choice
    if not optimised:
        search = replace(search, rule=grid.direction)
    samples = replace(grid.samples, seed=seed)
    # A chosen direction is always sampled at the length at which it was chosen.
    if isinstance(search, ChoiceConfig) or grid.sample_epsilon is not None:
        samples = replace(samples, epsilon=grid.sample_epsilon or search.epsilon)
    return Experiment(
        generator=name,
        search=replace(search, seed=seed) if optimised else search.with_seed(seed),
        samples=samples,
        mask_kind=kind,
        selection=grid.selection,
        data_size=size,
        validation_size=grid.validation_size,
        training=replace(grid.training, seed=seed),
        train_preset=grid.train_preset,
        labelled=labelled_pairs(grid.labelled, name, seed),
        distance=grid.distance,
        recipe=recipe,
    )


def labelled_pairs(
    labelled: LabelledPairs | None, generator: str, seed: int
) -> LabelledPairs | None:
    """Bring labelled pictures to the size of a generator's, and choose them by a trial's seed."""
    if labelled is None:
        return None
    return replace(labelled, side=resolution(generator), seed=seed)


def ceiling(grid: Grid, size: int, seed: int, recipe: str) -> Experiment:
    """Make the trial of the same network trained with the scenes' true masks."""
    return Experiment(
        method="true_masks",
        data_size=size,
        validation_size=grid.validation_size,
        training=replace(grid.training, seed=seed),
        train_preset=grid.train_preset,
        recipe=recipe,
    )


def distilled(
    grid: Grid, trials: Sequence[Experiment], rules: Sequence[Rule], recipe: str
) -> list[Experiment]:
    """Make the trials of the same network trained with rules' masks of scenes, for each seed.

    What a generator has to beat: unlabelled pictures and a rule that knows nothing, as the networks
    of Melas-Kyriazi et al. 2022, Table 1, that learn from masks made by hand-written rules.

    Args:
        grid: Settings of the training.
        trials: Beside which they stand: as many scenes as their largest number of samples, at most
            the grid's own, so that tables share them.
        rules: Names.
        recipe: Who asks.
    """
    size = min(max(each.data_size for each in trials), max(grid.data_sizes))
    seeds = dict.fromkeys(each.training.seed for each in trials if each.training)
    return [
        replace(ceiling(grid, size, seed, recipe), method="distilled", rule=rule)
        for seed in seeds
        for rule in rules
    ]


def baselines(recipe: str) -> list[Experiment]:
    """The methods that learn nothing and take seconds."""
    return [Experiment(method=rule, recipe=recipe) for rule in _BASELINES]
