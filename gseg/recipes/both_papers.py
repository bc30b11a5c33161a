"""The directions of the two papers beside each other."""

from dataclasses import replace

from gseg.directions.config import CHOICE_RULES, DirectionWay
from gseg.pipeline.experiment import Experiment
from gseg.recipes.grids import Axes, Grid
from gseg.recipes.melas2022 import all_gans


def both_papers(grid: Grid, axes: Axes) -> list[Experiment]:
    """The optimised direction (Melas-Kyriazi et al. 2022) beside the chosen one (Voynov 2021).

    Args:
        grid: Settings; without a rule for the choice, all rules, the paper's first. The
            generators' distances are left out.
        axes: What varies; one number of samples unless it says more.

    Returns:
        The experiments of `all_gans` with optimised directions, then those with chosen ones.
    """
    chosen = CHOICE_RULES if grid.direction == "optimised" else (grid.direction,)
    ways: tuple[DirectionWay, ...] = ("optimised", *chosen)
    sizes = axes.get("data_size", (grid.table_size or max(grid.data_sizes),))
    plain = replace(grid, distance=None)
    found = [
        each
        for way in ways
        for each in all_gans(replace(plain, direction=way), {**axes, "data_size": sizes})
    ]
    return [replace(each, recipe="both_papers") for each in dict.fromkeys(found)]
