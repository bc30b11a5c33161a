"""Measured, published, difference; and why a row is not comparable, where it is not."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import pandas as pd

from gseg.recipes.grids import grids
from gseg.recipes.published.cells import published_columns, published_tables
from gseg.reports.content import ReportTable
from gseg.reports.settings import HEADINGS, SCORES, SETTINGS, named, over_seeds

_STEPS: Final = "train_steps"
# Published settings and the rows' columns that hold them.
_AXES: Final = {
    "epsilon": "epsilon_sample",
    **{name: name for name in SETTINGS if name in published_columns() and name != _STEPS},
}
# Settings that a row shares with the table or is no counterpart of it.
_KINDS: Final = ("mask_kind", "centre_prior", "latent_source")
# Settings in which a row may differ from the table's and still stand beside it.
_TOLD: Final = (*named("λ"), "epsilon", "data_size")
_PROFILES: Final = {
    "melas2022": ("melas2022_program", "melas2022_text"),
    "voynov2021": ("voynov2021",),
}
PAPER_NAMES: Final = {"melas2022": "Melas 2022", "voynov2021": "Voynov 2021"}
_COLUMNS: Final = (
    *("table", "row", "generator", "benchmark", "score", "measured", "sd", "published"),
    *("difference", "comparable", "not_comparable_because", "suspect", "seeds"),
)
# Size of an embedded generator, and the data sets whose generators it stands for.
_COUNTERPARTS: Final = {
    "scenes32": ("tinyimagenet64", "imagenet128"),
    "scenes32-large": ("imagenet128", "tinyimagenet64"),
}


def counterpart(generator: str, published: set[str]) -> str | None:
    """Name the published generator that one of ours stands for.

    Args:
        generator: Catalogue name.
        published: Names that the papers' tables have.

    Returns:
        The same name; for an embedded generator that of its row in Melas 2022's Table 2 (the small
        ones are the rows of TinyImageNet, the large ones those of ImageNet); or None.
    """
    if generator in published:
        return generator
    family, _, size = str(generator).partition(".")  # a row may lack its generator
    order = _COUNTERPARTS.get(size, ())
    return next((f"{family}.{data}" for data in order if f"{family}.{data}" in published), None)


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Put what was measured beside what the papers print.

    Every published row of the papers' own methods is compared with the measured trials that have
    its generator (or the embedded one in its place) and the settings that its table varies. Of
    several the one with the fewest deviations is taken, then the one with the most samples. Scores
    on a benchmark that the table lacks stand beside the mean over the table's benchmarks.

    Args:
        rows: Result rows.

    Returns:
        A line for each published row, measured generator, benchmark and score: ``table``, ``row``,
        ``generator``, ``benchmark``, ``score``, ``measured``, ``sd``, ``published``,
        ``difference``, ``comparable``, ``not_comparable_because``, ``suspect``, ``seeds``.
    """
    cells = published_tables()
    own = cells[
        (cells["origin"] == "own")
        & (cells["statistic"] == "mean")
        & cells["generator"].notna()
        & cells["metric"].isin(SCORES)
        & cells["method"].isin(list(PAPER_NAMES.values()))
    ]
    # Masks that a labeller made are of another method than the papers'.
    own_masks = rows["labeller"].isna() if "labeller" in rows else True
    lines = over_seeds(rows[(rows["method"] == "gan") & own_masks])
    names = set(own["generator"])
    lines["stands_for"] = lines["generator"].map(lambda name: counterpart(name, names))
    found = [
        each
        for (paper, table), part in own.groupby(["paper", "table"], sort=False)
        for each in _compare_table(str(paper), str(table), part, lines)
    ]
    return pd.DataFrame(found, columns=_COLUMNS)


def comparison_table(rows: pd.DataFrame) -> ReportTable | None:
    """Tabulate `compare`; None where nothing measured has a published counterpart."""
    lines = compare(rows)
    table = ReportTable(
        name="measured_and_published",
        title="",
        frame=lines.drop(columns=[] if lines["suspect"].any() else ["suspect"]),
        headings={"sd": "±", "not_comparable_because": "why not"},
        words={"accuracy": "accuracy", "iou": "IoU", "f_beta": "Fβ", "max_f_beta": "max Fβ"},
        footnotes=("not_comparable_because", "suspect"),
        note="Difference: measured minus published. Where a line is not comparable, the difference "
        "says nothing about reproduction; the numbers are the reasons below. Suspect: another "
        "number in the papers contradicts the published one.",
    )
    return table if len(lines) else None


def beside(paper: str, printed: pd.DataFrame, line: pd.Series) -> Iterator[dict[str, object]]:
    """Put one measured line beside one printed row.

    Args:
        paper: ``melas2022`` or ``voynov2021``.
        printed: The row's cells, from `published_tables`.
        line: From `over_seeds`.

    Yields:
        For each score that both have what `compare` tells, without ``table`` and ``row``.
    """
    row, line = printed.iloc[0].copy(), line.copy()
    reasons = []
    if pd.isna(row["generator"]):
        # Nothing to compare with: the row may be of the same generator, or of another.
        row["generator"] = line["generator"]
        reasons += ["generator not known to be the published one"] if line["generator"] else []
    if line["method"] != "gan":
        line["objective"] = paper  # it has none that could differ
    yield from _scores(printed, line, [*reasons, *_reasons(paper, row, line)])


def _compare_table(
    paper: str, table: str, cells: pd.DataFrame, lines: pd.DataFrame
) -> Iterator[dict[str, object]]:
    name_of_table = f"Table {table}" if table.isdigit() else table
    # Only what the table varies has to agree; what else differs becomes a reason.
    axes = [name for name in _AXES if cells[name].nunique() > 1]
    axes += [name for name in _KINDS if name not in axes and cells[name].notna().any()]
    for row, printed in cells.groupby("row", sort=False):
        alike = lines[lines["stands_for"] == printed["generator"].iloc[0]]
        for name in axes:
            wanted = printed[name].iloc[0]
            column = _as_published(alike, name)
            alike = alike[column.isna() if pd.isna(wanted) else (column == wanted).fillna(False)]
        for _, group in alike.groupby(["generator", "benchmark"], sort=True):
            told = [[*_reasons(paper, printed.iloc[0], line)] for _, line in group.iterrows()]
            sizes = group["data_size"].fillna(0)
            # The fewest deviations first, then the most samples.
            nearest = min(range(len(told)), key=lambda n: (len(told[n]), -sizes.iloc[n]))
            label = {"table": f"{PAPER_NAMES[paper]}, {name_of_table}", "row": row}
            for each in _scores(printed, group.iloc[nearest], told[nearest]):
                yield label | each


def _as_published(lines: pd.DataFrame, name: str) -> pd.Series:
    """Give a setting's column, ε of embedded generators as the ε that it stands for."""
    column = lines[_AXES[name]]
    if name != "epsilon":
        return column
    # An embedded grid's ε stands for the paper's, and a multiple of it for the same multiple.
    known = grids()
    factor = known["paper"].search.epsilon / known["embedded"].search.epsilon
    return column.where(lines["generator"] == lines["stands_for"], column * factor)


def _reasons(paper: str, printed: pd.Series, line: pd.Series) -> Iterator[str]:
    """Say what keeps a measured line from being comparable with a printed row."""
    if line["generator"] != printed["generator"]:
        yield "embedded generator in place of the published one"
    if not str(line["objective"]).startswith(paper):
        yield f"objective {line['objective']}"
    for name in _TOLD:
        wanted, got = printed[name], line[_AXES[name]]
        if pd.notna(wanted) and pd.notna(got) and wanted != got:
            yield f"{HEADINGS[_AXES[name]]} {got:,.10g} instead of {wanted:,.10g}"
    steps = printed[_STEPS]
    if pd.notna(steps) and pd.notna(line[_STEPS]) and steps != line[_STEPS]:
        yield f"{line[_STEPS]:,.0f} training steps instead of {steps:,}"
    if line["metric_profile"] not in _PROFILES[paper]:
        yield f"metric profile {line['metric_profile']}"
    if "label" in str(line["supervision"]) and "search" in str(line["supervision"]):
        yield "labels used in a search"


def _scores(
    printed: pd.DataFrame, line: pd.Series, reasons: Sequence[str]
) -> Iterator[dict[str, object]]:
    wanted = _plain(str(line["benchmark"]))
    same = printed[printed["benchmark"].map(lambda name: _plain(str(name)) == wanted)]
    if not len(same):
        # A benchmark that the table lacks stands beside the mean over those that it has.
        names = ", ".join(dict.fromkeys(printed["benchmark"]))
        reasons = [*reasons, f"benchmark {line['benchmark']} instead of the mean over {names}"]
    for metric, cells in (same if len(same) else printed).groupby("metric", sort=False):
        if pd.isna(line[metric]):
            continue
        measured, published = float(line[metric]), float(cells["value"].mean())
        yield {
            "generator": line["generator"],
            "benchmark": line["benchmark"],
            "score": metric,
            "measured": measured,
            "sd": line[f"{metric}_sd"],
            "published": published,
            "difference": measured - published,
            "comparable": not reasons,
            "not_comparable_because": "; ".join(reasons),
            "suspect": " ".join(dict.fromkeys(cells[cells["suspect"]]["note"])),
            "seeds": int(line["seeds"]),
        }


def _plain(benchmark: str) -> str:
    """Reduce a benchmark's name to what spellings have in common: DUT-OMRON is dut_omron."""
    name = benchmark.partition(" [")[0]  # digits that tell two sets of one name apart
    return re.sub(r"[^a-z0-9]", "", name.lower().removeprefix("folder:"))
