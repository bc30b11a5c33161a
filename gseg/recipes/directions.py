"""Experiments of Melas-Kyriazi et al. 2022 that end with a direction.

What the paper leaves open, and is assumed here: latents in a step of the search (the official
program's 32); that another initialisation draws other latents, too; that v_d is found with -λ at
the same ε; and that Table 9's SAGAN is the one of ImageNet.
"""

import itertools
from dataclasses import replace
from typing import Final

from gseg.pipeline.direction_trial import DirectionTrial
from gseg.recipes.generators import angle_generators, main_generators, strip_generators
from gseg.recipes.grids import Axes, Grid, seeds_of

INITIALISATIONS: Final = 10
"""Section A.3."""
STRIP_FACTORS: Final = (0.0, 1.0, 2.0, 4.0)
"""ε of 0, 2, 4 and 8 over the ε of the search (Figures 3a and 5)."""


def table_9(grid: Grid, axes: Axes) -> list[DirectionTrial]:
    """Table 9: v_l · v_d of five generators."""
    return _searches("table_9", grid, {"generator": angle_generators(grid.name), **axes})


def initialisations(grid: Grid, axes: Axes, count: int = INITIALISATIONS) -> list[DirectionTrial]:
    """Section A.3: directions of BigBiGAN from ten initialisations.

    Args:
        grid: Settings.
        axes: Generators, λ, ε; the seeds count from the first one.
        count: Number of initialisations, at least 2.

    Returns:
        The searches, which differ in their seed.

    Raises:
        ValueError: There would be no pair.
    """
    if count < 2:
        raise ValueError(f"Pairs of directions need 2 initialisations or more, got {count}.")
    first = seeds_of(axes)[0]
    filled = {
        "generator": main_generators(grid.name)[:1],
        **axes,
        "seed": range(first, first + count),
    }
    return _searches("initialisations", grid, filled)


def strips(grid: Grid, axes: Axes) -> list[DirectionTrial]:
    """Figures 3a and 5: directions whose pictures are shown at growing ε (`strip_epsilons`)."""
    return _searches("strips", grid, {"generator": strip_generators(grid.name), **axes})


def strip_epsilons(trial: DirectionTrial) -> tuple[float, ...]:
    """Give the lengths of shift of a strip: 0, 2, 4, 8 where the search's is the paper's 2."""
    return tuple(factor * trial.search.epsilon for factor in STRIP_FACTORS)


def _searches(recipe: str, grid: Grid, axes: Axes) -> list[DirectionTrial]:
    weights = axes.get("contrast_weight", (grid.search.contrast_weight,))
    epsilons = axes.get("epsilon", (grid.search.epsilon,))
    found = [
        DirectionTrial(
            generator=name,
            search=replace(grid.search, contrast_weight=weight, epsilon=epsilon, seed=seed),
            recipe=recipe,
        )
        for name, weight, epsilon, seed in itertools.product(
            axes["generator"], weights, epsilons, seeds_of(axes)
        )
    ]
    return list(dict.fromkeys(found))
