"""``gseg report``: a page, and tables, of a sweep's results, or of all in a folder."""

import argparse
from pathlib import Path

from rich.console import Console

from gseg.pipeline.rows import results
from gseg.reports.galleries import gallery_section
from gseg.reports.plain import has_rows, is_plain
from gseg.reports.report import result_folders, write_index, write_report


def report(options: argparse.Namespace, console: Console) -> int:
    """Write a report, or one of each results folder in a folder and a page that leads to them.

    Args:
        options: ``results``, ``out``, ``storage``, ``benchmark``.
        console: Hears where the pages are.

    Returns:
        Exit status 0.

    Raises:
        ValueError: There are no rows, or no such storage or benchmark.
    """
    storage: Path | None = options.storage
    if storage is not None and not storage.is_dir():
        raise ValueError(f"there is no folder {storage}; --storage names that of the sweep.")
    if options.benchmark and storage is None:
        raise ValueError("--benchmark needs --storage: the segmenters' predictions are drawn anew.")
    folder: Path = options.results
    one = has_rows(folder) or is_plain(folder) or not folder.is_dir()
    several = [] if one else result_folders(folder)
    if not several:
        page = _write(folder, options.out, options, console)
        tables = page.parent / "tables"
        console.print(f"tables: {page.parent / 'report.md'}, {tables}", markup=False)
        return 0
    target: Path = options.out or folder
    pages = {
        each: _write(each, target / f"{each.name}_report", options, console) for each in several
    }
    console.print(f"all reports: {write_index(target, pages)}", markup=False)
    return 0


def _write(folder: Path, out: Path | None, options: argparse.Namespace, console: Console) -> Path:
    gallery = None
    if options.storage is not None and has_rows(folder):
        gallery = gallery_section(results(folder), options.storage, options.benchmark)
    page = write_report(folder, out, gallery=gallery)
    console.print(f"{page}: {page.stat().st_size / 2**20:.1f} MiB", markup=False)
    return page
