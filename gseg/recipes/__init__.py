"""Experiments by the name of the table that they reproduce."""

from gseg.recipes.both_papers import both_papers
from gseg.recipes.grids import DIRECTION_WAYS, Axes, DirectionWay, Grid, grids
from gseg.recipes.melas2022 import all_gans, baselines, table_13

__all__ = [
    "DIRECTION_WAYS",
    "Axes",
    "DirectionWay",
    "Grid",
    "all_gans",
    "baselines",
    "both_papers",
    "grids",
    "table_13",
]
