"""A report as files: a page without network or script, Markdown for people, CSV for programs."""

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from gseg.reports.content import Chart, Part, Report, Sheet
from gseg.storage.files import write_atomically

_LONGEST: Final = 200
"""Lines of a table in Markdown."""


def write_files(report: Report, folder: Path) -> Path:
    """Write a report.

    Args:
        report: Its content.
        folder: Gets ``report.html``, ``report.md`` and ``tables/*.csv``; made if missing. Tables
            of an earlier report that this one lacks are removed.

    Returns:
        The page.
    """
    names = {f"{table.name}.csv" for table in report.tables}
    assert len(names) == len(report.tables), "two tables of one name"
    for table in report.tables:
        # Pandas' own line end would be the machine's: the same rows give the same bytes anywhere.
        content = table.frame[table.columns].to_csv(index=False, lineterminator="\n")
        write_atomically(folder / "tables" / f"{table.name}.csv", content.encode())
    for old in (folder / "tables").glob("*.csv"):
        if old.name not in names:
            old.unlink()
    write_atomically(folder / "report.md", to_markdown(report).encode())
    page = folder / "report.html"
    write_atomically(page, to_html(report).encode())
    return page


def to_html(report: Report) -> str:
    """Write a report as a whole HTML document."""
    return _templates().get_template("report.html").render(report=report)


def to_markdown(report: Report, *, charts: str = "report.html") -> str:
    """Write a report's text and tables as Markdown.

    Args:
        report: Its content.
        charts: Page with the charts and pictures; empty if there are none.

    Returns:
        The text.
    """
    template = _templates().get_template("report.md")
    return template.render(report=report, charts=charts, most=_LONGEST).rstrip() + "\n"


@cache
def _templates() -> Environment:
    found = Environment(
        loader=PackageLoader("gseg.reports"),
        # Markdown escapes nothing but what would end a cell.
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["neighbours"] = _neighbours
    found.filters["in_cell"] = lambda text: text.replace("|", "\\|").replace("\n", " ")
    return found


def _neighbours(parts: Sequence[Part]) -> Iterator[tuple[tuple[str, str], list[Part]]]:
    """Group what stands side by side: charts of one fold, sheets of one heading."""
    # Not Jinja's groupby: it sorts, and parts stand in their order.
    for kind, group in itertools.groupby(parts, key=_kind):
        yield kind, list(group)


def _kind(part: Part) -> tuple[str, str]:
    if isinstance(part, Chart):
        return "charts", part.fold
    return ("sheets", part.of) if isinstance(part, Sheet) else ("tables", "")
