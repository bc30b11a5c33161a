"""A report as files: a page without network or script, Markdown for people, CSV for programs."""

import base64
import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from gseg.reports.content import Cell, Chart, Part, Report, ReportTable, Sheet
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
    return _template().render(report=report)


@cache
def _template() -> Template:
    found = Environment(
        loader=PackageLoader("gseg.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"neighbours": _neighbours, "base64": _base64}
    return found.get_template("report.html")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _neighbours(parts: Sequence[Part]) -> Iterator[tuple[tuple[str, str], list[Part]]]:
    """Group what stands side by side: charts of one fold, sheets of one heading."""
    for kind, group in itertools.groupby(parts, key=_kind):
        yield kind, list(group)


def _kind(part: Part) -> tuple[str, str]:
    if isinstance(part, Chart):
        return "charts", part.fold
    return ("sheets", part.of) if isinstance(part, Sheet) else ("tables", "")


def to_markdown(report: Report, *, charts: str = "report.html") -> str:
    """Write a report's text and tables as Markdown.

    Args:
        report: Its content.
        charts: Page with the charts and pictures; empty if there are none.

    Returns:
        The text.
    """
    lines = [f"# {report.title}", ""]
    lines += [f"Charts and pictures: [{charts}]({charts}).", ""] if charts else []
    for section in report.sections:
        tables = [part for part in section.parts if isinstance(part, ReportTable)]
        if not tables and not section.text:
            continue
        lines += [f"## {section.title}", ""]
        lines += [item for paragraph in section.text for item in (paragraph, "")]
        for table in tables:
            lines += [f"### {table.title}", ""] if table.title else []
            lines += [*_table_lines(table), ""]
            lines += [table.note, ""] if table.note else []
    return "\n".join(lines).rstrip() + "\n"


def _table_lines(table: ReportTable) -> Iterator[str]:
    yield _line([table.heading(name) for name in table.columns])
    yield _line(["---"] * len(table.columns))
    for cells in table.cells(_LONGEST):
        yield _line([_cell_text(cell) for cell in cells])
    left_out = table.left_out(_LONGEST)
    if left_out:
        yield from ("", left_out)
    if table.notes:
        yield ""
        yield from (f"{number}. {text}" for number, text in enumerate(table.notes, start=1))


def _cell_text(cell: Cell) -> str:
    text = f"[{cell.text}]({cell.link})" if cell.link else cell.text
    return f"**{text}**" if cell.best else text


def _line(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
