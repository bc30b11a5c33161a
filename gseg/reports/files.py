"""A report's tables as files: CSV for programs, Markdown for people."""

from pathlib import Path
from typing import Final

from gseg.reports.content import Cell, Report, ReportTable
from gseg.reports.page import to_html
from gseg.storage.files import write_atomically

_LONGEST: Final = 200


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
            if table.note:
                lines += [table.note, ""]
    return "\n".join(lines).rstrip() + "\n"


def _table_lines(table: ReportTable) -> list[str]:
    lines = [
        _line([table.heading(name) for name in table.columns]),
        _line(["---"] * len(table.columns)),
        *(_line([_cell_text(cell) for cell in cells]) for cells in table.cells(_LONGEST)),
    ]
    hidden = len(table.frame) - _LONGEST
    if hidden > 0:
        lines += ["", f"{hidden:,} more lines are in tables/{table.name}.csv."]
    notes = [f"{number}. {text}" for number, text in enumerate(table.notes, start=1)]
    return [*lines, "", *notes] if notes else lines


def _cell_text(cell: Cell) -> str:
    text = f"[{cell.text}]({cell.link})" if cell.link else cell.text
    return f"**{text}**" if cell.best else text


def _line(cells: list[str]) -> str:
    escaped = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
