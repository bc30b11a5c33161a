"""Which printed row of Voynov et al. 2021 a recipe's trial stands beside."""

from collections.abc import Mapping
from typing import Final

import pandas as pd

from gseg.recipes.grids import Grid
from gseg.recipes.tables import Line, PaperTable

_PAPER: Final = "voynov2021"


def _by_latents(_: Grid, line: Line) -> str:
    if line["latent_source"] == "prior":
        return "BigBiGAN"
    return f"E-BigBiGAN ({'with' if line['alpha'] else 'w/o'} z-noising)"


def _by_source(_: Grid, line: Line) -> str:
    return "BigBiGAN" if line["latent_source"] == "prior" else "E-BigBiGAN"


def _by_generator(_: Grid, line: Line) -> str:
    if str(line["generator"]).startswith("biggan."):
        return "Voynov and Babenko 2020"
    return "BigBiGAN (base)" if line["latent_source"] == "prior" else "E-BigBiGAN"


def _by_component(_: Grid, line: Line) -> str:
    filters = str(line["filters"])
    if line["latent_source"] == "prior":
        return "Base"
    if filters == "none":
        return "+ Imagenet embeddings"
    if filters.startswith("size and histogram"):
        return "+ Histogram"
    return "+ Size filter" if filters.startswith("size") else "+ Connected components"


def _by_labeller(_: Grid, line: Line) -> str:
    return "E-BigBiGAN" if pd.isna(line["labeller"]) else "E-BigBiGAN with U²Net"


_TABLE_1: Final = PaperTable(number="1", paper=_PAPER, label=_by_latents)
VOYNOV_TABLES: Final[Mapping[str, PaperTable]] = {
    "voynov_table_1": _TABLE_1,
    "voynov_table_1_flowers": _TABLE_1,
    "voynov_table_2": PaperTable(number="2", paper=_PAPER, label=_by_source),
    "voynov_table_3": PaperTable(number="3", paper=_PAPER, label=_by_generator),
    "voynov_table_4": PaperTable(number="4", paper=_PAPER, label=_by_component),
    "voynov_table_5": PaperTable(
        number="5",
        paper=_PAPER,
        label=_by_labeller,
        note="The embedded form's other model is the same network trained with true masks.",
    ),
}
"""By the name of the recipe."""
