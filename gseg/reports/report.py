"""Reports of results: from result rows, from the storage where that is at hand, of other tables.

Tables that are no result rows are such as those of directions alone.
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gseg.pipeline.rows import results as read_results
from gseg.reports.comparison import comparison_table
from gseg.reports.content import Part, Report, ReportTable, Section, write_files, write_page
from gseg.reports.costs import acceptance_table, cost_table, memory_table, provenance_table
from gseg.reports.distances import distance_parts
from gseg.reports.galleries import NO_PICTURES, figures_folder, left_figures, left_pictures
from gseg.reports.grids import axis_parts, heat_parts, size_parts
from gseg.reports.paper_tables import cosine_table, initialisation_table
from gseg.reports.scores import benchmark_tables, overview_table, overview_text
from gseg.reports.settings import present, tell_sets_apart

# Endings of folders that belong to a sweep's rows.
_BESIDE: Final = ("_images", "_figures", "_report")
_ROWS: Final = "rows.parquet"
# A column that no other rows have.
_SCORED: Final = "metric_profile"
_DISTANCES: Final = (
    "Does a better generator give a better segmenter? Distances of different protocols are "
    "different quantities; no chart and no correlation mixes them, except the paper's own Figure 4 "
    "at the end. Bands and intervals hold 95 % of 2,000 bootstrap resamples of the generators."
)
_NO_SCORES: Final = "no scores: see the report"
_INDEX: Final = (
    "A line for each sweep, with its best generator by IoU; the names lead to the reports. What a "
    "difference between two sweeps means depends on their settings and seeds, which the reports "
    "tell."
)


def build_report(
    rows: pd.DataFrame,
    *,
    title: str,
    gallery: Section | None = None,
    figures: Section | None = None,
) -> Report:
    """Put a report together.

    Args:
        rows: Result rows, see `gseg.results`.
        title: Of the page.
        gallery: The section of pictures, see `gseg.reports.galleries`.
        figures: A section with what else was drawn.

    Returns:
        The report; the same rows give the same report.
    """

    def section(anchor: str, title: str, parts: Sequence[Part | None], *text: str) -> Section:
        kept = tuple(part for part in parts if part is not None)
        return Section(anchor=anchor, title=title, text=text, parts=kept)

    rows = tell_sets_apart(rows)
    distances = distance_parts(rows)
    told = (_DISTANCES,) if distances else ()
    costs = (cost_table(rows), memory_table(rows), acceptance_table(rows))
    # One subject each; those of which these rows say nothing are left out below.
    sections = (
        section("overview", "Overview", [overview_table(rows)], overview_text(rows)),
        section("distance", "Fréchet distance and segmentation", distances, *told),
        section("grid", "Contrast weight λ and shift ε", heat_parts(rows) or axis_parts(rows)),
        section("size", "Number of samples", size_parts(rows)),
        section("benchmarks", "Scores on each benchmark", benchmark_tables(rows)),
        section("published", "Measured and published", [comparison_table(rows)]),
        section("directions", "Directions", [cosine_table(rows)]),
        gallery or section("pictures", "Pictures", (), NO_PICTURES),
        figures,
        section("costs", "Costs", costs),
        section("provenance", "Provenance", [provenance_table(rows)]),
    )
    filled = tuple(each for each in sections if each is not None and (each.parts or each.text))
    return Report(title=title, sections=filled)


def write_report(
    results: str | Path, out: str | Path | None = None, *, gallery: Section | None = None
) -> Path:
    """Write the report of a results folder.

    Args:
        results: Such as ``results/all_gans``; or a folder of tables that are no rows.
        out: Gets ``report.html``, ``report.md`` and ``tables/``; ``<results>_report`` if None,
            for the results folder holds nothing but rows.
        gallery: The section of pictures, see `gseg.reports.galleries`; if None, the contact sheets
            in ``<results>_figures``, where a sweep has left them.

    Returns:
        The page.

    Raises:
        ValueError: There are no rows, or their file is damaged.
    """
    folder = Path(results)
    target = folder.with_name(f"{folder.name}_report") if out is None else Path(out)
    if is_plain(folder):
        return write_files(plain_report(folder), target)
    rows = read_results(folder)
    drawn, generators = figures_folder(folder), rows["generator"].dropna().unique().tolist()
    report = build_report(
        rows,
        title=f"gseg: {folder.resolve().name}",
        gallery=gallery or left_pictures(drawn, generators),
        figures=left_figures(drawn, generators),
    )
    return write_files(report, target)


def has_rows(folder: Path) -> bool:
    """Say whether a folder holds a sweep's rows: scores of experiments."""
    path = folder / _ROWS
    if not path.is_file():
        return False
    try:
        return _SCORED in pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return True  # whoever reads it says that it is damaged


def is_plain(folder: Path) -> bool:
    """Say whether a folder holds tables that are neither rows nor what a sweep leaves beside them.

    Args:
        folder: Such as ``results/table_9``.

    Returns:
        Whether it does; the papers' own numbers are no results.
    """
    if folder.name == "published" or folder.name.endswith(_BESIDE) or has_rows(folder):
        return False
    return any(folder.glob("*.parquet"))


def plain_report(folder: Path) -> Report:
    """Put the tables of a folder into a report, those of directions as the paper does.

    Args:
        folder: Holds Parquet files.

    Returns:
        A report with the tables of each file, and what the sweep has drawn.

    Raises:
        ValueError: A file is damaged; the message names it.
    """
    sections: list[Section | None] = []
    for path in sorted(folder.glob("*.parquet")):
        title = "Results" if path.name == _ROWS else path.stem.replace("_", " ").capitalize()
        parts = _tables(_read(path), path.stem)
        sections.append(Section(anchor=path.stem, title=title, parts=parts))
    sections.append(left_figures(figures_folder(folder)))
    return Report(title=f"gseg: {folder.resolve().name}", sections=tuple(filter(None, sections)))


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():  # pandas reads all files of a folder, and of none nothing
        raise ValueError(f"{path} is a folder, expected a file of results.")
    try:
        return pd.read_parquet(path, page_checksum_verification=True)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"Cannot read the results in {path}: {reason}") from error


def _tables(frame: pd.DataFrame, name: str) -> tuple[ReportTable, ...]:
    """Give the summary of a table that is known, its lines, and what all lines have in common."""
    known = [table for table in (cosine_table(frame), initialisation_table(frame)) if table]
    same = [column for column in frame if len(frame) > 1 and frame[column].nunique() < 2]
    same = [column for column in same if frame[column].notna().all()]
    lines = ReportTable(
        name=name,
        title="All lines" if known else "",
        frame=frame.drop(columns=same),
        # Of what is no direction's v_l · v_d, such as an agreement between two.
        headings={} if known else {"cosine": "cosine"},
        folded=bool(known),
    )
    if not same:
        return *known, lines
    values = [(str(name).replace("_", " "), str(frame[name].iloc[0])) for name in same]
    facts = pd.DataFrame(values, columns=["fact", "value"])
    common = ReportTable(name=f"{name}_common", title="What all lines have in common", frame=facts)
    return *known, lines, common


def result_folders(folder: Path) -> list[Path]:
    """List what a report can be made of.

    Args:
        folder: Such as ``results``.

    Returns:
        The folders in it that hold rows, or tables of another kind; by name, numbers in
        names by their value.
    """
    visible = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    # table_2 before table_10.
    visible.sort(key=lambda path: re.sub(r"\d+", lambda found: found[0].zfill(9), path.name))
    return [path for path in visible if has_rows(path) or is_plain(path)]


def write_index(folder: Path, pages: Mapping[Path, Path]) -> Path:
    """Write a page that leads to reports.

    Args:
        folder: Gets ``index.html`` and ``index.md``.
        pages: Results folder to its report's page.

    Returns:
        The page.

    Raises:
        ValueError: The rows of a folder are damaged.
    """
    lines = [
        # Relative: the folder may be moved, or served by a web server.
        {"name": results.name, "address": _address(page, folder)}
        | (_about(read_results(results)) if has_rows(results) else {"setting": _NO_SCORES})
        for results, page in pages.items()
    ]
    # In the order of the fullest line: the first one may be a table without scores.
    columns = dict.fromkeys(name for line in sorted(lines, key=len, reverse=True) for name in line)
    frame = pd.DataFrame(lines, columns=list(columns))
    # Without a count in some lines, pandas makes floats of the others.
    counts = present(frame, ("experiments", "generators", "samples", "seeds"))
    frame = frame.astype(dict.fromkeys(counts, "Int64"))
    heading = {"name": "results"}
    table = ReportTable(
        name="index", title="", frame=frame, headings=heading, link="address", most=len(frame)
    )
    section = Section(anchor="results", title="Results", text=(_INDEX,), parts=(table,))
    report = Report(title=f"gseg: {folder.resolve().name}", sections=(section,))
    return write_page(report, folder / "index.html", charts="")


def _address(page: Path, folder: Path) -> str:
    """Write where a page is as an address, in which #, ? and % have meanings of their own."""
    relative = Path(os.path.relpath(page, folder)).as_posix()
    # With a beginning that is no scheme: a folder may be called a:b.
    return quote(os.fsencode(relative if ":" not in relative else f"./{relative}"))


def _about(rows: pd.DataFrame) -> dict[str, object]:
    """Say in a line what rows are about: counts, and the best generator on the first benchmark."""
    rows = tell_sets_apart(rows)
    gan = rows[rows["method"] == "gan"]
    about: dict[str, object] = {
        "experiments": rows["experiment"].nunique(),
        "generators": gan["generator"].nunique(),
    }
    if len(gan):
        # Its first line is the best of the first benchmark.
        best = overview_table(gan).frame.iloc[0]
        about |= {
            "best generator": best["best"],
            "setting": best.get("setting", ""),
            "samples": best["data_size"],
            **best[["benchmark", "accuracy", "iou", "seeds"]],
        }
    return about | {"last row": rows["finished"].max().strftime("%Y-%m-%d %H:%M UTC")}
