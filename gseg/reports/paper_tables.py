"""A recipe's results in the rows of the paper's table, beside the published numbers."""

from collections.abc import Iterator
from typing import Final

import pandas as pd
from rich.table import Table

from gseg.recipes.grids import Grid
from gseg.recipes.published.cells import published_tables
from gseg.recipes.recipe import PaperTable
from gseg.reports.comparison import beside, counterpart
from gseg.reports.settings import HEADINGS, SCORES, over_seeds

_PAPERS: Final = {"melas2022": "Melas 2022", "voynov2021": "Voynov 2021"}
_SHOWN: Final = ("accuracy", "iou", "max_f_beta")


def paper_benchmarks(table: PaperTable) -> tuple[str, ...]:
    """Name the benchmarks of a published table, in its order."""
    cells = published_tables()
    cells = cells[(cells["paper"] == table.paper) & (cells["table"] == table.number)]
    return tuple(str(name) for name in cells["benchmark"].dropna().unique())


def paper_lines(rows: pd.DataFrame, table: PaperTable, grid: Grid) -> pd.DataFrame:
    """Put results into the rows of a published table.

    Args:
        rows: Result rows of the recipe, of one metric profile.
        table: The published table.
        grid: Settings that the recipe was run with.

    Returns:
        A line for each generator, setting and benchmark: ``row`` (the paper's label; empty where
        the paper has none), ``generator``, the table's columns, ``benchmark``, and for each score
        ``<score>``, ``<score>_sd`` and ``<score>_published``; ``comparable`` and
        ``not_comparable_because``. In the paper's order; lines without a row come last.
    """
    cells = published_tables()
    cells = cells[(cells["paper"] == table.paper) & (cells["table"] == table.number)]
    order = {label: place for place, label in enumerate(cells["row"].unique())}
    trained = rows[rows["data_size"].notna()]
    sides = trained.groupby("generator")["resolution"].first()
    lines = over_seeds(trained, SCORES)
    lines["resolution"] = lines["generator"].map(sides)
    found = pd.DataFrame([_line(line, table, grid, cells) for _, line in lines.iterrows()])
    if not len(found):
        return found
    found["place"] = found["row"].map(lambda label: order.get(label, len(order)))
    found["alone"] = found[[f"{name}_published" for name in SCORES]].isna().all(axis=1)
    found = found.sort_values(["place", "alone", "generator"], kind="stable", ignore_index=True)
    return found.drop(columns=["place", "alone"])


def paper_table(lines: pd.DataFrame, table: PaperTable) -> Table:
    """Draw a published table with measured numbers beside it.

    Args:
        lines: From `paper_lines`.
        table: The published table.

    Returns:
        A table for a rich console.
    """
    title = f"{_PAPERS[table.paper]}, Table {table.number}: measured and published"
    shown = Table(title=title, title_justify="left")
    names = ["row", "generator", *table.columns]
    if lines["benchmark"].nunique() > 1:
        names.append("benchmark")
    for name in names:
        shown.add_column(HEADINGS.get(name, name.replace("_", " ")), overflow="fold")
    scores = [name for name in _SHOWN if lines[name].notna().any()]
    printed = [name for name in scores if lines[f"{name}_published"].notna().any()]
    for name in scores:
        shown.add_column(HEADINGS.get(name, name), justify="right", no_wrap=True)
        if name in printed:
            shown.add_column("published", justify="right", style="dim", no_wrap=True)
    for line in lines.to_dict("records"):
        cells = [_text(line[name]) for name in names]
        for name in scores:
            cells.append(_score(line[name], line[f"{name}_sd"]))
            if name in printed:
                cells.append(_score(line[f"{name}_published"]))
        shown.add_row(*cells)
    shown.caption, shown.caption_justify = "\n".join(_notes(lines, table)), "left"
    return shown


def _line(
    line: "pd.Series", table: PaperTable, grid: Grid, cells: pd.DataFrame
) -> dict[str, object]:
    row, printed = _printed(line, table, grid, cells)
    found: dict[str, object] = {
        "row": row,
        "generator": line["generator"] or line["method"].replace("_", " "),
        **{name: line[name] for name in table.columns},
        "benchmark": line["benchmark"],
        "comparable": False,
        "not_comparable_because": "",
    }
    for score in SCORES:
        found |= {score: line[score], f"{score}_sd": line[f"{score}_sd"]}
        found[f"{score}_published"] = None
    for each in beside(table.paper, printed, line) if len(printed) else ():
        found[f"{each['score']}_published"] = each["published"]
        found["comparable"] = each["comparable"]
        found["not_comparable_because"] = each["not_comparable_because"]
    return found


def _printed(
    line: "pd.Series", table: PaperTable, grid: Grid, cells: pd.DataFrame
) -> tuple[str, pd.DataFrame]:
    """Find the row that a line stands beside, and its cells; none if they are another generator's.

    A row that names a setting, of which the table has several for one generator, goes with the
    lines of every generator; one that names a generator does not.
    """
    name = counterpart(str(line["generator"]), set(cells["generator"].dropna()))
    if table.label is None:
        label = next(iter(cells.loc[cells["generator"] == (name or ""), "row"]), "")
    else:
        label = table.label(grid, {str(name): value for name, value in line.items()}) or ""
    of_row = cells[cells["row"] == label]
    own = of_row[of_row["generator"].isna() | (of_row["generator"] == name)]
    several = cells[cells["origin"] == "own"].groupby("generator")["row"].nunique().gt(1).any()
    return str(label) if several or len(own) else "", own


def _notes(lines: pd.DataFrame, table: PaperTable) -> Iterator[str]:
    reasons = lines["not_comparable_because"]
    parts = dict.fromkeys(part for text in reasons for part in text.split("; ") if part)
    if parts:
        yield f"not comparable: {'; '.join(parts)}"
    if parts and table.note:
        yield table.note


def _score(value: float | None, deviation: float | None = None) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3f}" + ("" if pd.isna(deviation) else f" ± {deviation:.3f}")


def _text(value: str | float | None) -> str:
    if pd.isna(value):
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"
