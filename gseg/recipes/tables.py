"""Which printed row of Melas-Kyriazi et al. 2022 a recipe's trial stands beside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from gseg.recipes.grids import Grid
from gseg.recipes.melas2022 import TABLE_7_FACTORS, TABLE_8_FACTORS

Line = Mapping[str, Any]
Label = Callable[[Grid, Line], str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperTable:
    """A published table beside which a recipe's results are shown.

    Attributes:
        number: Of the table.
        label: Says which row's label belongs to a line of results, None for no row. Rows of
            another generator than the line's, or the one that it stands for, are never shown.
        columns: Columns of results that tell the lines of one row apart, or that the labels do
            not spell out.
        paper: Of which paper.
        note: What is to be said of the embedded form.
    """

    number: str
    label: Label | None = None
    columns: tuple[str, ...] = ()
    paper: str = "melas2022"
    note: str = ""


def _by_masks(_: Grid, line: Line) -> str | None:
    names = {"lighter": "v_l only", "darker": "v_d only", "both": "v_l and v_d"}
    return (names | {"ensemble": "Ensemble"}).get(line["mask_kind"])


def _by_weight(grid: Grid, line: Line) -> str | None:
    return _factor("λ", line["contrast_weight"], grid.search.contrast_weight, TABLE_7_FACTORS, 5)


def _by_epsilon(grid: Grid, line: Line) -> str | None:
    return _factor("ε", line["epsilon_search"], grid.search.epsilon, TABLE_8_FACTORS, 2)


def _factor(
    symbol: str, value: float, usual: float, factors: tuple[float, ...], printed: float
) -> str | None:
    """Name the row of a multiple of the usual value."""
    found = next((factor for factor in factors if factor * usual == value), None)
    return None if found is None else f"{symbol} = {found * printed:g}"


def _by_size(grid: Grid, line: Line) -> str | None:
    printed = (100, 1_000, 10_000, 100_000, 200_000, 300_000, 1_000_000)
    sizes = dict(zip(sorted(grid.curve_sizes), printed, strict=True)) if grid.curve_sizes else {}
    found = sizes.get(int(line["data_size"]))
    return None if found is None else str(found)


def _by_side(_: Grid, line: Line) -> str | None:
    return "128" if line["train_resolution"] < line["resolution"] else "256"


def _by_prior(_: Grid, line: Line) -> str | None:
    return None if line["centre_prior"] else "Spatially agnostic loss"


def _by_style(_: Grid, line: Line) -> str | None:
    name = str(line["generator"])
    return "Ours (BigBiGAN)" if name.startswith("bigbigan.") else "Ours (StyleGAN2 of Flowers)"


def _by_material(_: Grid, line: Line) -> str | None:
    real, near = pd.notna(line["labelled_size"]), pd.notna(line["selected_from"])
    if not line["data_size"]:
        return "Real images only" if real else None
    if real:
        return f"Real images and {'kNN' if near else 'all'} generated images"
    return f"{'kNN' if near else 'All'} generated images only"


_NO_STYLEGAN2: Final = (
    "No embedded generator is a StyleGAN2: another one goes through the same steps, and its "
    "numbers say nothing about the paper's."
)
PAPER_TABLES: Final[Mapping[str, PaperTable]] = {
    "table_1": PaperTable(number="1", label=lambda *_: "Ours (BigBiGAN - ImageNet)"),
    "table_2": PaperTable(number="2"),
    "table_6": PaperTable(number="6", label=_by_masks),
    "table_7": PaperTable(number="7", label=_by_weight, columns=("contrast_weight",)),
    "table_8": PaperTable(number="8", label=_by_epsilon, columns=("epsilon_search",)),
    "table_10": PaperTable(number="10", label=_by_prior, columns=("centre_prior",)),
    "table_11": PaperTable(number="11", label=_by_style, note=_NO_STYLEGAN2),
    "table_12": PaperTable(
        number="12", label=lambda *_: "Ours (StyleGAN2 of FFHQ - UNet)", note=_NO_STYLEGAN2
    ),
    "table_13": PaperTable(number="13", label=_by_material, columns=("data_size",)),
    "table_14": PaperTable(number="14", label=_by_size, columns=("data_size",)),
    "table_15": PaperTable(
        number="15", label=_by_side, columns=("train_resolution",), note=_NO_STYLEGAN2
    ),
}
"""By the name of the recipe."""
