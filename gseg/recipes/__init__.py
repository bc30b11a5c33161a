"""Experiments by the name of the table that they reproduce."""

from gseg.recipes.both_papers import both_papers
from gseg.recipes.directions import initialisations, strips, table_9
from gseg.recipes.grids import Axes, Grid, GridName, grids
from gseg.recipes.melas2022 import (
    all_gans,
    failure_cases,
    table_1,
    table_2,
    table_6,
    table_7,
    table_8,
    table_10,
    table_13,
    table_14,
)
from gseg.recipes.stylegan2 import table_11, table_12, table_15
from gseg.recipes.trials import baselines, varied_grids
from gseg.recipes.voynov2021 import (
    voynov_figure_5,
    voynov_table_1,
    voynov_table_1_flowers,
    voynov_table_2,
    voynov_table_3,
    voynov_table_4,
    voynov_table_5,
)

__all__ = [
    "Axes",
    "Grid",
    "GridName",
    "all_gans",
    "baselines",
    "both_papers",
    "failure_cases",
    "grids",
    "initialisations",
    "strips",
    "table_1",
    "table_2",
    "table_6",
    "table_7",
    "table_8",
    "table_9",
    "table_10",
    "table_11",
    "table_12",
    "table_13",
    "table_14",
    "table_15",
    "varied_grids",
    "voynov_figure_5",
    "voynov_table_1",
    "voynov_table_1_flowers",
    "voynov_table_2",
    "voynov_table_3",
    "voynov_table_4",
    "voynov_table_5",
]
