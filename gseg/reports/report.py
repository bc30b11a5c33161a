"""Put a report together from result rows, and from the storage where that is at hand."""

from pathlib import Path

import pandas as pd

from gseg.pipeline.rows import results as read_results
from gseg.reports.comparison import comparison_table
from gseg.reports.content import Part, Report, ReportTable, Section
from gseg.reports.costs import acceptance_table, cost_table, memory_table, provenance_table
from gseg.reports.distance_charts import distance_parts
from gseg.reports.files import write_files
from gseg.reports.galleries import NO_PICTURES, figures_folder, left_figures, left_pictures
from gseg.reports.grids import axis_parts, heat_parts, size_parts
from gseg.reports.overview import overview_table, overview_text
from gseg.reports.paper_tables import cosine_table
from gseg.reports.plain import is_plain, plain_report
from gseg.reports.scores import benchmark_tables

_DISTANCES = (
    "Does a better generator give a better segmenter? Distances of different protocols are "
    "different quantities; no chart and no correlation mixes them, except the paper's own Figure 4 "
    "at the end. Bands and intervals hold 95 % of 2,000 bootstrap resamples of the generators."
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
    sections = [
        _section("overview", "Overview", [overview_table(rows)], overview_text(rows)),
        _distance_section(distance_parts(rows)),
        _section("grid", "Contrast weight λ and shift ε", heat_parts(rows) or axis_parts(rows)),
        _section("size", "Number of samples", size_parts(rows)),
        _section("benchmarks", "Scores on each benchmark", benchmark_tables(rows)),
        _section("published", "Measured and published", _given(comparison_table(rows))),
        _section("directions", "Directions", _given(cosine_table(rows))),
        gallery or Section(anchor="pictures", title="Pictures", text=(NO_PICTURES,)),
        *([figures] if figures else []),
        _section(
            "costs",
            "Costs",
            _given(cost_table(rows), memory_table(rows), acceptance_table(rows)),
        ),
        _section("provenance", "Provenance", [provenance_table(rows)]),
    ]
    kept = tuple(section for section in sections if section.parts or section.text)
    return Report(title=title, sections=kept)


def default_folder(results: Path) -> Path:
    """Say where the report of a results folder goes: beside it, for it holds nothing but rows."""
    return results.with_name(f"{results.name}_report")


def _section(anchor: str, title: str, parts: list[Part] | list[ReportTable], *text: str) -> Section:
    return Section(anchor=anchor, title=title, text=text, parts=tuple(parts))


def _distance_section(parts: list[Part]) -> Section:
    text = (_DISTANCES,) if parts else ()
    return _section("distance", "Fréchet distance and segmentation", parts, *text)


def _given(*tables: ReportTable | None) -> list[ReportTable]:
    return [table for table in tables if table is not None]


def write_report(
    results: str | Path, out: str | Path | None = None, *, gallery: Section | None = None
) -> Path:
    """Write the report of a results folder.

    Args:
        results: Such as ``results/all_gans``; or a folder of tables that are no rows.
        out: Gets ``report.html``, ``report.md`` and ``tables/``; ``<results>_report`` if None.
        gallery: The section of pictures, see `gseg.reports.galleries`; if None, the contact sheets
            in ``<results>_figures``, where a sweep has left them.

    Returns:
        The page.

    Raises:
        ValueError: There are no rows, or their file is damaged.
    """
    folder = Path(results)
    target = default_folder(folder) if out is None else Path(out)
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
