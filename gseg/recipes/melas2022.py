"""Experiments of Melas-Kyriazi et al. 2022 that train segmenters, by the name of their table.

Every recipe takes a grid (the size: ``embedded``, minutes on a laptop, or ``paper``, the published
settings) and axes. What the axes leave empty is the table's: generators, λ, ε, masks and numbers
of samples; any of them may be given instead. λ and ε are multiples of the grid's own, which are
the paper's 5 and 2 in the paper's grid; small generators take half of the shift (5 and 1), so ε of
1, 2, 4 and 6 becomes 0.5, 1, 2 and 3.

What the paper leaves open, and is assumed here:

- Latents in a step of the search: `SearchConfig.batch`, 32, the official program's.
- Masks of Tables 10 to 12, 14 and 15: v_l and v_d together (`ASSUMED_MASKS`), as in Table 1.
- Table 8: "ε in the optimisation" is the length of the masks' shift as well, as everywhere else in
  the paper, unless `Grid.sample_epsilon` fixes that.
- Table 10's loss: see `gseg.directions.objective`.
- Table 14's learning rate: decays at step 8,000, as in the shorter trainings.
- Table 15: how pictures are shrunk: `gseg.segmenters.pairs.shrink`.
"""

from dataclasses import replace
from typing import Final

from gseg.pipeline.experiment import Experiment, LabelledPairs, SelectionConfig, TrialMaskKind
from gseg.recipes.generators import main_generators, table_2_generators
from gseg.recipes.grids import Axes, Grid, seeds_of
from gseg.recipes.trials import (
    ASSUMED_MASKS,
    ceiling,
    combinations,
    filled,
    labelled_pairs,
    table_trials,
    trial,
    without_distance,
)

TABLE_6_MASKS: Final[tuple[TrialMaskKind, ...]] = ("lighter", "darker", "both", "ensemble")
TABLE_7_FACTORS: Final = (2.0, 1.0, 0.5, 0.25)
"""λ of 10, 5, 2.5 and 1.25 over the λ of the other tables."""
TABLE_8_FACTORS: Final = (0.5, 1.0, 2.0, 3.0)
"""ε of 1, 2, 4 and 6 over the ε of the other tables."""
_NEAREST_PART: Final = 20
"""One sample in so many is selected for Table 13: 50,000 of 1,000,000."""


def all_gans(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 2 and Figure 4 at all data sizes of the grid, with the ceiling.

    Args:
        grid: Settings.
        axes: What varies; every combination is one experiment.

    Returns:
        The experiments of `combinations`. The ceiling, the same network trained with true masks,
        comes with each data size and seed.

    Raises:
        ValueError: A value is out of range; the message says which.
    """
    sizes = sorted(axes.get("data_size", grid.data_sizes), reverse=True)
    found = combinations(grid, axes, "all_gans")
    found += [ceiling(grid, size, seed, "all_gans") for size in sizes for seed in seeds_of(axes)]
    return list(dict.fromkeys(found))


def table_1(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 1: BigBiGAN with both directions (Eq. 2), on every benchmark."""
    return table_trials("table_1", grid, axes, {"mask_kind": ("both",)})


def failure_cases(grid: Grid, axes: Axes) -> list[Experiment]:
    """Figures 12 to 14: Table 1's trials, whose worst pictures are to be shown."""
    return [replace(each, recipe="failure_cases") for each in table_1(grid, axes)]


def table_2(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 2 and Figure 4: twelve generators, the lighter direction alone, one setting."""
    own = {"generator": table_2_generators(grid.name), "mask_kind": ("lighter",)}
    chosen = filled(grid, axes, own)
    return combinations(grid, chosen, "table_2")


def table_6(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 6: masks from the lighter direction, the darker, both, and two networks together."""
    return table_trials("table_6", without_distance(grid), axes, {"mask_kind": TABLE_6_MASKS})


def table_7(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 7: the weight λ of the contrast loss, with both directions."""
    weights = tuple(factor * grid.search.contrast_weight for factor in TABLE_7_FACTORS)
    own = {"mask_kind": ("both",), "contrast_weight": weights}
    return table_trials("table_7", without_distance(grid), axes, own)


def table_8(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 8: the length ε of the shift, with the lighter direction."""
    epsilons = tuple(factor * grid.search.epsilon for factor in TABLE_8_FACTORS)
    own = {"mask_kind": ("lighter",), "epsilon": epsilons}
    return table_trials("table_8", without_distance(grid), axes, own)


def table_10(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 10: a loss that does not expect the foreground in the centre.

    Returns:
        The trials without the centre prior, then the same with it, to compare them with.

    Raises:
        ValueError: Directions are chosen, so that there is no such loss.
    """
    if grid.direction != "optimised":
        raise ValueError(
            "Table 10 is about the loss of optimised directions, but directions are to be chosen "
            f"({grid.direction}): leave --direction out."
        )
    without = replace(grid, search=replace(grid.search, centre_prior=False))
    own = {"mask_kind": ASSUMED_MASKS}
    return [
        each
        for one in (without, grid)
        for each in table_trials("table_10", without_distance(one), axes, own)
    ]


def table_13(
    grid: Grid,
    axes: Axes,
    labelled: LabelledPairs | None = None,
    nearest: SelectionConfig | None = None,
) -> list[Experiment]:
    """Table 13: labelled pictures and generated ones together.

    The paper takes 1,000 pictures of CUB, 1,000,000 samples of BigBiGAN, and of these the 50,000
    nearest to the pictures; here the selection keeps a twentieth of the data size too. How often a
    labelled picture is trained on beside a generated one the paper does not say: a
    `LabelledPairs.weight` of None, every pair alike, is the plain reading of "the combination of
    both datasets"; a share of its own is the assumption of whoever sets it. Which direction made
    the masks it does not say either.

    Args:
        grid: Settings; the largest data size counts.
        axes: Generators, mask kinds and seeds; what else varies is left out.
        labelled: The labelled pictures; their choice varies with the seed. The grid's by default.
        nearest: What the selected samples are near to, and by which features; its number of
            candidates is the data size's. The grid's by default.

    Returns:
        The table's five rows for each generator, mask kind and seed: labelled alone, all samples,
        the nearest samples, labelled and all, labelled and nearest; the first is the same for all
        generators. It is trained without held-out pairs, which would be further labels.

    Raises:
        ValueError: A value is out of range; or neither of labelled pictures and selection is there.
    """
    if labelled is None and grid.labelled is not None:
        name = axes.get("generator", main_generators(grid.name))[0]
        labelled = labelled_pairs(grid.labelled, name, 0)
    nearest = nearest or grid.selection
    if labelled is None or nearest is None:
        raise ValueError(
            "Table 13 trains on labelled pictures and on the samples nearest to them, and does not "
            "know which: name both, --labelled folder:PATH --nearest PATH/images (with the paper's "
            "grid 1,000 of CUB's training pictures and --nearest-features resnet50:FILE)."
        )
    grid = replace(without_distance(grid), labelled=None, selection=None)
    sizes = (grid.table_size,) if grid.table_size else grid.data_sizes
    size = max(axes.get("data_size", sizes))
    near = max(1, size // _NEAREST_PART)
    chosen = replace(nearest, candidates=size)
    generators = axes.get("generator", main_generators(grid.name)[:1])
    found: list[Experiment] = []
    for seed in seeds_of(axes):
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
        for kind in axes.get("mask_kind", ("lighter",)):
            for name in generators:
                made = trial(grid, name, grid.search.contrast_weight, None, size, kind, seed)
                plain = replace(made, recipe="table_13")
                selected = replace(plain, data_size=near, selection=chosen)
                found += [plain, selected]
                found += [replace(each, labelled=pictures) for each in (plain, selected)]
    return list(dict.fromkeys(found))


def table_14(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 14 and Figure 11: numbers of samples from 100 to 1,000,000, at 20,000 steps.

    Returns:
        The trials. Each size is the beginning of the next one's samples.
    """
    longer = replace(
        without_distance(grid),
        training=grid.curve_training or grid.training,
        train_preset=grid.curve_preset or grid.train_preset,
    )
    own = {"mask_kind": ASSUMED_MASKS, "data_size": grid.curve_sizes or grid.data_sizes}
    return table_trials("table_14", longer, axes, own)
