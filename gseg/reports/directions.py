"""How the lighter and the darker direction lie to each other (Melas 2022, Table 9 and A.3)."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from gseg.directions import Direction
from gseg.published import published_tables
from gseg.reports.comparison import counterpart
from gseg.reports.content import ReportTable
from gseg.reports.settings import DIGITS, HEADINGS, present

_SEARCH = ("objective", "contrast_weight", "centre_prior", "epsilon_search")
"""Columns that a direction depends on, besides generator and seed."""


def direction_cosines(rows: pd.DataFrame) -> pd.DataFrame:
    """Average v_l · v_d over seeds (Table 9).

    Args:
        rows: Result rows.

    Returns:
        A line for each generator and setting of the search: ``cosine``, ``cosine_sd`` (n - 1; empty
        for one seed), ``directions`` (n), ``published`` (Table 9's value of the generator or of
        the one that it stands for) and ``published_generator``.
    """
    keys = ["generator", *present(rows, _SEARCH)]
    found = rows[(rows["method"] == "gan") & rows["cosine"].notna()]
    found = found.drop_duplicates([*keys, "direction_seed"])
    groups = found.groupby(keys, dropna=False, sort=True)["cosine"]
    table = groups.agg(cosine="mean", cosine_sd="std", directions="size").reset_index()
    cells = published_tables().query("paper == 'melas2022' and table == '9'")
    printed = cells.set_index("generator")["value"]
    names = table["generator"].map(lambda name: counterpart(name, set(printed.index)))
    table["published_generator"] = names
    table["published"] = names.map(printed)
    return table


def initialisation_cosines(folders: Iterable[Path]) -> pd.Series:
    """Compare directions that were found from different initialisations (section A.3).

    Args:
        folders: At least two folders of directions of one generator, which `Direction.load` reads.

    Returns:
        ``directions`` (n), and over the n (n - 1) / 2 pairs the mean and the standard deviation
        (n - 1) of the cosines: ``lighter``, ``lighter_sd``, ``darker``, ``darker_sd``; the
        deviations are empty for a single pair.

    Raises:
        ValueError: There are fewer than two, or their codes differ in width.
    """
    found = [Direction.load(folder) for folder in folders]
    widths = sorted({direction.dim for direction in found})
    if len(found) < 2 or len(widths) > 1:
        raise ValueError(
            "Expected at least two directions of one generator, got "
            f"{len(found)} with codes of {widths}."
        )
    values: dict[str, float] = {"directions": len(found)}
    pairs = np.triu_indices(len(found), k=1)
    for name in ("lighter", "darker"):
        vectors = np.stack([getattr(direction, name).numpy() for direction in found])
        cosines = (vectors @ vectors.T)[pairs].astype(np.float64)
        values[name] = float(cosines.mean())
        values[f"{name}_sd"] = float(cosines.std(ddof=1)) if len(cosines) > 1 else np.nan
    return pd.Series(values)


def cosine_table(rows: pd.DataFrame) -> ReportTable | None:
    """Tabulate `direction_cosines`; None without a direction."""
    lines = direction_cosines(rows)
    if not len(lines):
        return None
    varying = [name for name in _SEARCH if name in lines and lines[name].nunique() > 1]
    columns = ["generator", *varying, "cosine", "cosine_sd", "directions"]
    if lines["published"].notna().any():
        columns += ["published", "published_generator"]
    return ReportTable(
        name="cosines",
        title="Inner product of the lighter and the darker direction",
        frame=lines[columns],
        headings=HEADINGS | {"cosine_sd": "±", "published_generator": "published for"},
        digits=DIGITS,
        note="Published: Table 9 of Melas 2022. An embedded generator is another network than the "
        "one that it stands for: the two values are not comparable.",
    )
