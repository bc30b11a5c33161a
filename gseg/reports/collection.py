"""The reports of all results in a folder, and a page that leads to them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from gseg.pipeline.rows import results as read_results
from gseg.reports.content import Report, ReportTable, Section
from gseg.reports.files import to_markdown
from gseg.reports.overview import overview_table
from gseg.reports.page import to_html
from gseg.reports.plain import has_rows, is_plain
from gseg.storage.files import write_atomically

_NO_SCORES: Final = "no scores: see the report"
_TEXT: Final = (
    "A line for each sweep, with its best generator by IoU; the names lead to the reports. What a "
    "difference between two sweeps means depends on their settings and seeds, which the reports "
    "tell."
)
_COLUMNS: Final = (
    "name",
    "address",
    "experiments",
    "generators",
    "best generator",
    "setting",
    "samples",
    "benchmark",
    "accuracy",
    "iou",
    "seeds",
    "last row",
)


def result_folders(folder: Path) -> list[Path]:
    """List what a report can be made of.

    Args:
        folder: Such as ``results``.

    Returns:
        The folders in it that hold rows, or tables of another kind; by name, numbers in
        names by their value.
    """
    folders = (path for path in folder.iterdir() if path.is_dir())
    visible = sorted((path for path in folders if not path.name.startswith(".")), key=_order)
    return [path for path in visible if has_rows(path) or is_plain(path)]


def _order(path: Path) -> list[str]:
    return [part.zfill(9) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


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
    columns = [name for name in _COLUMNS if any(name in line for line in lines)]
    counts = ("experiments", "generators", "samples", "seeds")
    frame = pd.DataFrame(lines, columns=columns)
    frame = frame.astype({name: "Int64" for name in counts if name in frame})
    table = ReportTable(
        name="index",
        title="",
        frame=frame,
        headings={"name": "results", "iou": "IoU", "max_f_beta": "max Fβ"},
        link="address",
        most=len(frame),
    )
    section = Section(anchor="results", title="Results", text=(_TEXT,), parts=(table,))
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
            "benchmark": best["benchmark"],
            "accuracy": best["accuracy"],
            "iou": best["iou"],
            "seeds": best["seeds"],
        }
    return about | {"last row": rows["finished"].max().strftime("%Y-%m-%d %H:%M UTC")}
