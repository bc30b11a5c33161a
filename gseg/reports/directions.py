"""How the lighter and the darker direction lie to each other (Melas 2022, Table 9 and A.3)."""

import pandas as pd

from gseg.recipes.published.cells import published_tables
from gseg.reports.comparison import counterpart
from gseg.reports.content import ReportTable
from gseg.reports.found_directions import pair_lines
from gseg.reports.settings import DIGITS, HEADINGS, SEARCH, present, varying

_COSINES = ("cosine", "cosine_sd", "lighter", "lighter_sd", "darker", "darker_sd")
_DIGITS = dict.fromkeys((*_COSINES, "published", "published_sd"), 4)
_EMBEDDED = (
    "An embedded generator is another network than the one that it stands for: the two values are "
    "not comparable."
)


def direction_cosines(rows: pd.DataFrame) -> pd.DataFrame:
    """Average v_l · v_d over seeds (Table 9).

    Args:
        rows: Result rows, or rows of directions alone.

    Returns:
        A line for each generator and setting of the search: ``cosine``, ``cosine_sd`` (n - 1; empty
        for one seed), ``directions`` (n), ``published`` (Table 9's value of the generator or of
        the one that it stands for) and ``published_generator``.
    """
    keys = ["generator", *present(rows, SEARCH)]
    found = rows[rows["cosine"].notna()]
    if "method" in found:
        found = found[found["method"] == "gan"]
    found = found.drop_duplicates([*keys, "direction_seed"])
    groups = found.groupby(keys, dropna=False, sort=True)["cosine"]
    table = groups.agg(cosine="mean", cosine_sd="std", directions="size").reset_index()
    cells = published_tables().query("paper == 'melas2022' and table == '9'")
    printed = cells.set_index("generator")["value"]
    names = table["generator"].map(lambda name: counterpart(name, set(printed.index)))
    table["published_generator"] = names
    table["published"] = names.map(printed)
    return table


def cosine_table(rows: pd.DataFrame) -> ReportTable | None:
    """Tabulate `direction_cosines`; None for rows that are not of directions."""
    about_directions = {"generator", "cosine", "direction_seed"} <= set(rows.columns)
    lines = direction_cosines(rows) if about_directions else rows.iloc[:0]
    if not len(lines):
        return None
    differing = varying(lines, SEARCH)
    columns = ["generator", *differing, "cosine", "cosine_sd", "directions"]
    if lines["published"].notna().any():
        columns += ["published", "published_generator"]
    return ReportTable(
        name="cosines",
        title="Inner product of the lighter and the darker direction",
        frame=lines[columns].dropna(axis="columns", how="all"),
        headings=HEADINGS | {"cosine_sd": "±", "published_generator": "published for"},
        digits=DIGITS | _DIGITS,
        note=f"Published: Table 9 of Melas 2022. {_EMBEDDED}",
    )


def initialisation_table(pairs: pd.DataFrame) -> ReportTable | None:
    """Tabulate cosines between directions of different initialisations (section A.3).

    Args:
        pairs: Rows of pairs, see `gseg.pipeline.direction_trial.pair_rows`.

    Returns:
        Mean and deviation over the pairs of each generator and search; None for other rows.
    """
    if not {"seed_a", "seed_b", "lighter", "darker"} <= set(pairs.columns):
        return None
    lines = pair_lines(pairs)
    differing = varying(lines, SEARCH)
    columns = ["generator", *differing, *_COSINES[2:], "pairs", "published", "published_sd"]
    return ReportTable(
        name="initialisations",
        title="Cosines between directions of different initialisations",
        frame=lines[columns].dropna(axis="columns", how="all"),
        headings=HEADINGS
        | {"lighter_sd": "±", "darker_sd": "±", "published_sd": "±", "lighter": "v_l, v_l"}
        | {"darker": "v_d, v_d"},
        digits=DIGITS | _DIGITS,
        note=f"Published: section A.3 of Melas 2022. {_EMBEDDED}",
    )
