"""The directions of the two papers beside each other."""

from dataclasses import replace

from gseg.experiment import Experiment
from gseg.recipes.grids import Axes, Grid
from gseg.recipes.melas2022 import all_gans


def both_papers(grid: Grid, axes: Axes) -> list[Experiment]:
    """The optimised direction (Melas-Kyriazi et al. 2022) beside the chosen one (Voynov 2021).

    Args:
        grid: Settings; without a rule for the choice, it is the paper's.
        axes: What varies.

    Returns:
        The experiments of `all_gans` with optimised directions, then those with chosen ones.
    """
    rule = "voynov2021" if grid.direction == "optimised" else grid.direction
    found = [
        each for way in ("optimised", rule) for each in all_gans(replace(grid, direction=way), axes)
    ]
    return [replace(each, recipe="both_papers") for each in dict.fromkeys(found)]
