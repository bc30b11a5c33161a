"""Results beside what the papers print, in the form of their tables.

Of trials: the rows of the published table that a recipe is about. Of directions alone: v_l · v_d
(Melas 2022, Table 9) and cosines between initialisations (section A.3). And both papers' directions
beside each other.
"""

from collections.abc import Iterator
from typing import Final

import pandas as pd
from rich.table import Table

from gseg.recipes.grids import Grid
from gseg.recipes.published.cells import published_tables
from gseg.recipes.recipe import PaperTable
from gseg.reports.comparison import PAPER_NAMES, beside, counterpart
from gseg.reports.content import ReportTable
from gseg.reports.settings import SCORES, SEARCH, over_seeds, present, varying
from gseg.reports.tables import Column, terminal_table

_SHOWN: Final = ("accuracy", "iou", "max_f_beta")
_COSINES: Final = ("cosine", "lighter", "darker", "published")
_DIGITS: Final = dict.fromkeys([*_COSINES, *(f"{name}_sd" for name in _COSINES)], 4)
_EMBEDDED: Final = (
    "An embedded generator is another network than the one that it stands for: the two values are "
    "not comparable."
)
_EPSILON: Final = {"epsilon_search": "ε"}
_NOTE: Final = "not comparable: embedded generators in place of the published ones"


def paper_benchmarks(table: PaperTable) -> tuple[str, ...]:
    """Name the benchmarks of a published table, in its order."""
    return tuple(map(str, _cells(table)["benchmark"].dropna().unique()))


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
    cells = _cells(table)
    order = {label: place for place, label in enumerate(cells["row"].unique())}
    # Baselines that learn nothing are no row of these tables.
    trained = rows[rows["data_size"].notna()]
    sides = trained.groupby("generator")["resolution"].first()
    lines = over_seeds(trained, SCORES)
    lines["resolution"] = lines["generator"].map(sides)
    found = pd.DataFrame([_line(line, table, grid, cells) for _, line in lines.iterrows()])
    if not len(found):
        return found
    found["place"] = found["row"].map(lambda label: order.get(label, len(order)))
    # Of one row, what stands beside printed numbers comes first.
    found["alone"] = found[[f"{name}_published" for name in SCORES]].isna().all(axis=1)
    found = found.sort_values(["place", "alone", "generator"], kind="stable", ignore_index=True)
    return found.drop(columns=["place", "alone"])


def paper_table(lines: pd.DataFrame, table: PaperTable) -> Table:
    """Lay out `paper_lines` as the published table is, with measured numbers beside its own."""
    names = ["row", "generator", *table.columns]
    names += ["benchmark"] if lines["benchmark"].nunique() > 1 else []
    columns = [Column(name=name, form=",", right=False) for name in names]
    for name in _SHOWN:
        printed = f"{name}_published"
        if lines[name].notna().any():
            columns.append(Column(name=name, form=".3f", whole=True))
            if lines[printed].notna().any():
                columns.append(
                    Column(name=printed, heading="published", form=".3f", whole=True, style="dim")
                )
    title = f"{PAPER_NAMES[table.paper]}, Table {table.number}: measured and published"
    return terminal_table(title, columns, lines, note="\n".join(_notes(lines, table)))


def angle_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Average v_l · v_d over seeds, beside Table 9.

    Args:
        rows: Of directions alone, see `gseg.pipeline.direction_trial.direction_rows`, or of trials.

    Returns:
        A line for each generator and search, in the rows' order: ``cosine``, ``cosine_sd`` (n - 1;
        empty for one seed), ``seeds``, ``published`` (of the generator, or of the one that it
        stands for; empty where Table 9 has neither) and ``published_generator``.
    """
    keys = ["generator", *present(rows, SEARCH)]
    found = rows[rows["cosine"].notna()]
    if "method" in found:
        found = found[found["method"] == "gan"]
    # Trials that differ in their samples or training alone share a direction: it counts once.
    found = found.drop_duplicates([*keys, *present(rows, ["direction_seed"])])
    groups = found.groupby(keys, dropna=False, sort=False)["cosine"]
    lines = groups.agg(cosine="mean", cosine_sd="std", seeds="size").reset_index()
    return _beside(lines, "published", "paper == 'melas2022' and table == '9'")


def pair_lines(pairs: pd.DataFrame) -> pd.DataFrame:
    """Reduce pairs of initialisations to mean and deviation, beside section A.3.

    Args:
        pairs: From `gseg.pipeline.direction_trial.pair_rows`.

    Returns:
        A line for each generator and search: ``pairs``; ``lighter`` and ``darker``, the mean
        cosine, and ``lighter_sd`` and ``darker_sd`` (n - 1); ``published`` and ``published_sd``.
    """
    keys = ["generator", *present(pairs, SEARCH)]
    groups = pairs.groupby(keys, dropna=False, sort=False)
    lines = groups[["lighter", "darker"]].mean()
    lines = lines.join(groups[["lighter", "darker"]].std().add_suffix("_sd"))
    lines = lines.join(groups.size().rename("pairs")).reset_index()
    printed = "paper == 'melas2022' and metric == 'pairwise_cosine' and statistic == "
    lines = _beside(lines, "published", f"{printed} 'mean'")
    return _beside(lines, "published_sd", f"{printed} 'standard deviation'")


def angle_table(lines: pd.DataFrame) -> Table:
    """Lay out `angle_lines` for the terminal."""
    title = "Table 9: inner product of the lighter and the darker direction"
    return _directions_table(title, lines, "cosine", "published")


def pair_table(lines: pd.DataFrame) -> Table:
    """Lay out `pair_lines` for the terminal."""
    title = "Cosines between directions of different initialisations (A.3)"
    return _directions_table(title, lines, "pairs", "lighter", "darker", "published")


def cosine_table(rows: pd.DataFrame) -> ReportTable | None:
    """Lay out `angle_lines` for a report; None for rows that are not of directions."""
    if not {"generator", "cosine", "direction_seed"} <= set(rows.columns):
        return None
    lines = angle_lines(rows).rename(columns={"seeds": "directions"})
    lines = lines.sort_values(["generator", *present(lines, SEARCH)], ignore_index=True)
    columns = ["cosine", "cosine_sd", "directions", "published", "published_generator"]
    if not len(lines):
        return None
    return _report_table(
        "cosines",
        "Inner product of the lighter and the darker direction",
        lines,
        columns if lines["published"].notna().any() else columns[:3],
        {"cosine_sd": "±", "published_generator": "published for"},
        "Table 9",
    )


def initialisation_table(pairs: pd.DataFrame) -> ReportTable | None:
    """Lay out `pair_lines` for a report; None for rows that are not of pairs."""
    if not {"seed_a", "seed_b", "lighter", "darker"} <= set(pairs.columns):
        return None
    return _report_table(
        "initialisations",
        "Cosines between directions of different initialisations",
        pair_lines(pairs),
        [*("lighter", "lighter_sd", "darker", "darker_sd"), "pairs", "published", "published_sd"],
        {**dict.fromkeys(("lighter_sd", "darker_sd", "published_sd"), "±")}
        | {"lighter": "v_l, v_l", "darker": "v_d, v_d"},
        "section A.3",
    )


def papers_table(lines: pd.DataFrame) -> Table:
    """Lay out `gseg.pipeline.finished.compare_papers`."""
    title = "optimised (Melas-Kyriazi 2022) and chosen (Voynov 2021) directions"
    columns = [
        Column(name="generator", right=False, whole=True),
        Column(name="rule"),
        Column(name="seed"),
        Column(name="cosine", heading="cosine", form=".2f"),
        Column(name="mask_iou", heading="masks: IoU", form=".2f"),
        Column(name="mask_accuracy", heading="accuracy", form=".3f"),
        Column(name="affine_iou", heading="Eq. 5: IoU", form=".2f"),
        Column(name="each_iou", heading="4.6: IoU", form=".2f"),
        Column(name="iou_optimised", heading="IoU optimised", form=".3f"),
        Column(name="iou_chosen", heading="chosen", form=".3f"),
        Column(name="direction_seconds_optimised", heading="seconds optimised", form=".0f"),
        Column(name="direction_seconds_chosen", heading="chosen", form=".0f"),
    ]
    table = terminal_table(title, columns, lines)
    table.title_justify = "center"
    return table


def _directions_table(title: str, lines: pd.DataFrame, *measured: str) -> Table:
    """Lay out lines of directions: generator, settings in which they differ, numbers."""
    columns = [
        Column(name="generator", right=False, whole=True),
        # There is but one ε where nothing was drawn along the direction.
        *(Column(name=each, heading=_EPSILON.get(each, "")) for each in varying(lines, SEARCH)),
        *(Column(name=name, form="" if name == "pairs" else ".4f") for name in measured),
    ]
    embedded = lines["generator"].str.contains(".scenes32", regex=False).any()
    return terminal_table(title, columns, lines, note=_NOTE if embedded else "")


def _report_table(
    name: str,
    title: str,
    lines: pd.DataFrame,
    columns: list[str],
    headings: dict[str, str],
    published: str,
) -> ReportTable:
    return ReportTable(
        name=name,
        title=title,
        frame=lines[["generator", *varying(lines, SEARCH), *columns]].dropna(axis=1, how="all"),
        headings=headings,
        digits=_DIGITS,
        note=f"Published: {published} of Melas 2022. {_EMBEDDED}",
    )


def _beside(lines: pd.DataFrame, column: str, which: str) -> pd.DataFrame:
    """Add a column of published numbers of the lines' generators, and their names."""
    printed = published_tables().query(which).set_index("generator")["value"]
    names = lines["generator"].map(lambda name: counterpart(name, set(printed.index)))
    return lines.assign(**{column: names.map(printed), "published_generator": names})


def _cells(table: PaperTable) -> pd.DataFrame:
    cells = published_tables()
    return cells[(cells["paper"] == table.paper) & (cells["table"] == table.number)]


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
        label = table.label(grid, {str(key): value for key, value in line.items()}) or ""
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
