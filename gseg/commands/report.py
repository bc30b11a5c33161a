"""``gseg report``: a page, and tables, of a sweep's results."""

import argparse
from pathlib import Path

from rich.console import Console

from gseg.reports.galleries import gallery_section
from gseg.reports.report import write_report
from gseg.rows import results


def report(options: argparse.Namespace, console: Console) -> int:
    """Write a report.

    Args:
        options: ``results``, ``out``, ``storage``, ``benchmark``.
        console: Hears where the page is.

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
    gallery = None
    if storage is not None:
        gallery = gallery_section(results(options.results), storage, options.benchmark)
    page = write_report(options.results, options.out, gallery=gallery)
    console.print(f"{page}: {page.stat().st_size / 2**20:.1f} MiB", markup=False)
    console.print(f"tables: {page.parent / 'report.md'}, {page.parent / 'tables'}", markup=False)
    return 0
