"""Reports of tables that are no result rows, such as those of directions alone."""

from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gseg.reports.content import Report, ReportTable, Section
from gseg.reports.galleries import figures_folder, left_figures
from gseg.reports.paper_tables import cosine_table, initialisation_table

_BESIDE: Final = ("_images", "_figures", "_report")
"""Endings of folders that belong to a sweep's rows."""
_ROWS: Final = "rows.parquet"
_SCORED: Final = "metric_profile"
"""A column that no other rows have."""


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
    try:
        return pd.read_parquet(path)
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
