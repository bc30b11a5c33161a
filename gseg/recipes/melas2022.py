"""Experiments of Melas-Kyriazi et al. 2022, by the name of the table that they reproduce."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gseg.directions import ChoiceConfig, DirectionConfig
from gseg.experiment import Experiment, LabelledPairs, SelectionConfig, TrialMaskKind
from gseg.recipes.grids import Axes, Grid

_RECIPE: Final = "all_gans"
_NEAREST_PART: Final = 20
"""One sample in so many is selected for Table 13: 50,000 of 1,000,000."""


def all_gans(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 2 and Figure 4 of Melas-Kyriazi et al. 2022: all generators under one setting.

    Args:
        grid: Settings.
        axes: What varies; every combination is one experiment, values given twice count once.

    Returns:
        The experiments, largest data first and generators next to each other varying fastest, so
        that trials that share a stage do not start at the same time. The ceiling, the same
        network trained with true masks, comes with each data size and seed.

    Raises:
        ValueError: A value is out of range; the message says which.
    """
    sizes = sorted(axes.data_sizes or grid.data_sizes, reverse=True)
    weights: Sequence[float | None] = axes.contrast_weights or (None,)
    epsilons: Sequence[float | None] = axes.epsilons or (None,)
    found: list[Experiment] = []
    for size, seed, kind in itertools.product(sizes, axes.seeds, axes.mask_kinds):
        for weight, epsilon, name in itertools.product(weights, epsilons, axes.generators):
            found.append(_trial(grid, name, weight, epsilon, size, kind, seed))
    for size, seed in itertools.product(sizes, axes.seeds):
        found.append(_ceiling(grid, size, seed))
    return list(dict.fromkeys(found))


def table_13(
    grid: Grid, axes: Axes, labelled: LabelledPairs, nearest: SelectionConfig
) -> list[Experiment]:
    """Table 13 of Melas-Kyriazi et al. 2022: labelled pictures and generated ones together.

    The paper takes 1,000 pictures of CUB, 1,000,000 samples of BigBiGAN, and of these the 50,000
    nearest to the pictures; here the selection keeps a twentieth of the data size too. How often a
    labelled picture is trained on beside a generated one the paper does not say: a
    `LabelledPairs.weight` of None, every pair alike, is the plain reading of "the combination of
    both datasets"; a share of its own is the assumption of whoever sets it. Which direction made
    the masks it does not say either.

    Args:
        grid: Settings; the largest data size counts.
        axes: Generators, mask kinds and seeds; what else varies is left out.
        labelled: The labelled pictures; their choice varies with the seed.
        nearest: What the selected samples are near to, and by which features; its number of
            candidates is the data size's.

    Returns:
        The table's five rows for each generator, mask kind and seed: labelled alone, all samples,
        the nearest samples, labelled and all, labelled and nearest; the first is the same for all
        generators. It is trained without held-out pairs, which would be further labels.

    Raises:
        ValueError: A value is out of range; the message says which.
    """
    size = max(axes.data_sizes or grid.data_sizes)
    near = max(1, size // _NEAREST_PART)
    chosen = replace(nearest, candidates=size)
    found: list[Experiment] = []
    for seed in axes.seeds:
        pictures = replace(labelled, seed=seed)
        found.append(
            Experiment(
                method="true_masks",
                labelled=replace(pictures, weight=None),
                validation_size=0,
                training=replace(grid.training, seed=seed),
                train_preset=grid.train_preset,
                recipe="table_13",
            )
        )
        for kind, name in itertools.product(axes.mask_kinds, axes.generators):
            trial = _trial(grid, name, grid.search.contrast_weight, None, size, kind, seed)
            plain = replace(trial, recipe="table_13")
            selected = replace(plain, data_size=near, selection=chosen)
            found += [plain, selected]
            found += [replace(each, labelled=pictures) for each in (plain, selected)]
    return list(dict.fromkeys(found))


def baselines(recipe: str) -> list[Experiment]:
    """The two methods that learn nothing: Otsu's threshold and a disc in the centre."""
    return [
        Experiment(method="otsu", recipe=recipe),
        Experiment(method="centre_disc", recipe=recipe),
    ]


def _trial(
    grid: Grid,
    name: str,
    weight: float | None,
    epsilon: float | None,
    size: int,
    kind: TrialMaskKind,
    seed: int,
) -> Experiment:
    search = _direction(grid, weight, seed)
    samples = replace(grid.samples, seed=seed)
    if epsilon is not None:
        search = replace(search, epsilon=epsilon)
    if epsilon is not None or isinstance(search, ChoiceConfig):
        samples = replace(samples, epsilon=search.epsilon)
    return Experiment(
        generator=name,
        search=search,
        samples=samples,
        mask_kind=kind,
        data_size=size,
        validation_size=grid.validation_size,
        training=replace(grid.training, seed=seed),
        train_preset=grid.train_preset,
        distance=grid.distance,
        recipe=_RECIPE,
    )


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


def _ceiling(grid: Grid, size: int, seed: int) -> Experiment:
    return Experiment(
        method="true_masks",
        data_size=size,
        validation_size=grid.validation_size,
        training=replace(grid.training, seed=seed),
        train_preset=grid.train_preset,
        recipe=_RECIPE,
    )
