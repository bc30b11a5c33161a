"""Reports of results: from result rows, and from the storage where that is at hand."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from gseg.pipeline.rows import results as read_results
from gseg.reports.comparison import comparison_table
from gseg.reports.content import Part, Report, ReportTable, Section
from gseg.reports.costs import acceptance_table, cost_table, memory_table, provenance_table
from gseg.reports.distances import distance_parts
from gseg.reports.galleries import NO_PICTURES, figures_folder, left_figures, left_pictures
from gseg.reports.grids import axis_parts, heat_parts, size_parts
from gseg.reports.page import to_html, to_markdown, write_files
from gseg.reports.paper_tables import cosine_table
from gseg.reports.plain import has_rows, is_plain, plain_report
from gseg.reports.scores import benchmark_tables, overview_table, overview_text
from gseg.reports.settings import present
from gseg.storage.files import write_atomically

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
        {"name": results.name, "address": Path(os.path.relpath(page, folder)).as_posix()}
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
    write_atomically(folder / "index.md", to_markdown(report, charts="").encode())
    page = folder / "index.html"
    write_atomically(page, to_html(report).encode())
    return page


def _about(rows: pd.DataFrame) -> dict[str, object]:
    """Say in a line what rows are about: counts, and the best generator on the first benchmark."""
    gan = rows[rows["method"] == "gan"]
    about: dict[str, object] = {
        "experiments": rows["experiment"].nunique(),
        "generators": gan["generator"].nunique(),
    }
    if len(gan):
        best = overview_table(gan).frame.iloc[0]
        about |= {
            "best generator": best["best"],
            "setting": best.get("setting", ""),
            "samples": best["data_size"],
            **best[["benchmark", "accuracy", "iou", "seeds"]],
        }
    return about | {"last row": rows["finished"].max().strftime("%Y-%m-%d %H:%M UTC")}
