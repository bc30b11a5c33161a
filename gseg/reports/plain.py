"""Reports of tables that are no result rows, such as those of directions alone."""

from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gseg.reports.content import Report, ReportTable, Section
from gseg.reports.settings import DIGITS, HEADINGS

_BESIDE: Final = ("_images", "_figures", "_report")
"""Endings of folders that belong to a sweep's rows."""
_PUBLISHED: Final = "published"
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
    if folder.name == _PUBLISHED or folder.name.endswith(_BESIDE) or has_rows(folder):
        return False
    return any(folder.glob("*.parquet"))


def plain_report(folder: Path) -> Report:
    """Put the tables of a folder into a report as they are.

    Args:
        folder: Holds Parquet files.

    Returns:
        A report with a table for each file.

    Raises:
        ValueError: A file is damaged; the message names it.
    """
    tables = []
    for path in sorted(folder.glob("*.parquet")):
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"Cannot read the results in {path}: {reason}") from error
        title = path.stem.replace("_", " ").capitalize()
        table = ReportTable(
            name=path.stem, title=title, frame=frame, headings=HEADINGS, digits=DIGITS
        )
        tables.append(table)
    section = Section(anchor="tables", title="Results", parts=tuple(tables))
    return Report(title=f"gseg: {folder.resolve().name}", sections=(section,))
