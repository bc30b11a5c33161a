"""What a report is made of, and its files.

A page without network or script, Markdown for people, CSV for programs.
"""

import base64
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, Literal

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from gseg.reports.settings import DIGITS, HEADINGS
from gseg.storage.files import write_atomically

Best = Literal["highest", "lowest"]
# Letters from which on a page breaks a column's text into lines.
_LONG_TEXT: Final = 40
# Lines of a table in Markdown.
_LONGEST: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A cell as people read it.

    Attributes:
        text: What stands there.
        kind: Its column's, see `ReportTable.kind`.
        best: Whether it is marked.
        link: Where it leads; empty for nowhere.
    """

    text: str
    kind: str = ""
    best: bool = False
    link: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReportTable:
    """A table.

    Attributes:
        name: File name without suffix.
        title: Above the table.
        frame: Cells; numbers stay numbers, so that files keep their digits.
        headings: Column name to what people read, where that is not `settings.HEADINGS`'.
        digits: Decimal places of number columns, -1 for as many as needed, where they are not
            `settings.DIGITS`'; 3 for others.
        best: Columns whose best value is marked, and which way.
        competing: A yes-or-no column that says which lines may be best; not shown. None for all.
        words: Texts of cells to what people read instead.
        footnotes: Columns of long texts, such as reasons apart by "; ": the table shows their
            numbers, and below it what they are.
        link: A column of addresses that the cells of the first column lead to; not shown.
        note: Below the table.
        folded: Whether a page shows it on request only.
        most: Lines that a page shows; the files have all.
    """

    name: str
    title: str
    frame: pd.DataFrame
    headings: dict[str, str] = field(default_factory=dict)
    digits: dict[str, int] = field(default_factory=dict)
    best: Mapping[str, Best] = field(default_factory=dict)
    competing: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    footnotes: tuple[str, ...] = ()
    link: str | None = None
    note: str = ""
    folded: bool = False
    most: int = 60

    @property
    def columns(self) -> list[str]:
        """Columns that are shown."""
        return [name for name in self.frame.columns if name not in (self.competing, self.link)]

    @property
    def notes(self) -> tuple[str, ...]:
        """The texts that the footnotes' numbers stand for, from 1."""
        columns = [self.frame[name].dropna() for name in self.footnotes if name in self.frame]
        parts = (part for column in columns for text in column for part in _parts(str(text)))
        return tuple(dict.fromkeys(parts))

    def heading(self, column: str) -> str:
        """What people read above a column."""
        return (HEADINGS | self.headings).get(column, column.replace("_", " "))

    def kind(self, column: str) -> str:
        """How a column is set: ``number`` at the right, ``long`` text in lines, others in one."""
        values = self.frame[column]
        if column in self.footnotes:
            return ""
        # To pandas a yes or no is a number, too.
        if is_numeric_dtype(values.dtype) and not is_bool_dtype(values.dtype):
            return "number"
        longest = values.astype("string").str.len().max()
        return "long" if pd.notna(longest) and longest > _LONG_TEXT else ""

    def left_out(self, most: int) -> str:
        """Where the lines after the first ones are; empty if there are none."""
        hidden = len(self.frame) - most
        return f"{hidden:,} more lines are in tables/{self.name}.csv." if hidden > 0 else ""

    def is_best(self, column: str) -> "pd.Series[bool]":
        """Say of each line whether its value in a column is the best."""
        if column not in self.best:
            return pd.Series(False, index=self.frame.index)
        values = self.frame[column].astype("Float64")
        if self.competing is not None:
            values = values.where(self.frame[self.competing].astype(bool))
        extreme = values.max() if self.best[column] == "highest" else values.min()
        # One value alone competes with nothing.
        return (values == extreme).fillna(False).astype(bool) & (values.count() > 1)

    def cells(self, most: int) -> list[list[Cell]]:
        """Write the cells of the first lines, each with the columns of `columns`."""
        frame = self.frame.head(most)
        numbers = {text: str(number) for number, text in enumerate(self.notes, start=1)}
        columns: list[list[Cell]] = []
        for name in self.columns:
            # As lists: pandas would give numbers of NumPy, which are no Python floats and ints.
            texts = [self.shown(name, value) for value in frame[name].tolist()]
            if name in self.footnotes:
                texts = [", ".join(numbers[part] for part in _parts(text)) for text in texts]
            kind, best = self.kind(name), self.is_best(name)
            links = frame[self.link].fillna("") if self.link and not columns else [""] * len(frame)
            # The best is that of all lines, of which these are the first ones.
            values = zip(texts, best, links, strict=False)
            columns.append([Cell(text=a, kind=kind, best=b, link=c) for a, b, c in values])
        return [list(line) for line in zip(*columns, strict=True)]

    def shown(self, column: str, value: str | float | None) -> str:
        """Write a cell as people read it."""
        if pd.isna(value):
            return ""
        # Before int: a bool is one.
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            digits = (DIGITS | self.digits).get(column, 3)
            return f"{value:g}" if digits < 0 else f"{value:,.{digits}f}"
        if isinstance(value, int):
            return f"{value:,}" if abs(value) >= 10_000 or "size" in column else str(value)
        return self.words.get(str(value), str(value))


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A drawing.

    Attributes:
        svg: One ``<svg>`` element whose colours are classes of the page's style.
        caption: Below it.
        fold: What a page calls the group of charts that it shows on request only; empty for a
            chart that is always there.
    """

    svg: str
    caption: str
    fold: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A picture of pictures.

    Attributes:
        webp: Bytes of a WebP file.
        width: In pixels.
        height: In pixels.
        caption: Below it.
        of: What it shows, in words: a heading that neighbours share.
    """

    webp: bytes
    width: int
    height: int
    caption: str
    of: str = ""

    @property
    def base64(self) -> str:
        """The file as text, for an address that holds its content."""
        return base64.b64encode(self.webp).decode()

    @property
    def alt(self) -> str:
        """What stands in its place for those who do not see it."""
        return f"{self.of}: {self.caption}" if self.of else self.caption


Part = ReportTable | Chart | Sheet


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """A chapter of the report.

    Attributes:
        anchor: Its address in the page.
        title: Heading.
        text: Paragraphs before its parts.
        parts: Tables, charts and sheets in order.
    """

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def tables(self) -> list[ReportTable]:
        """Its tables, in order."""
        return [part for part in self.parts if isinstance(part, ReportTable)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A whole report.

    Attributes:
        title: Of the page.
        sections: In order.
    """

    title: str
    sections: tuple[Section, ...]

    @property
    def tables(self) -> list[ReportTable]:
        """All tables, in order."""
        return [table for section in self.sections for table in section.tables]


def _parts(text: str) -> list[str]:
    return [part for part in text.split("; ") if part]


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
        write_atomically(folder / "tables" / f"{table.name}.csv", _bytes(content))
    for old in (folder / "tables").glob("*.csv"):
        if old.name not in names:
            old.unlink()
    return write_page(report, folder / "report.html", charts="report.html")


def write_page(report: Report, page: Path, *, charts: str) -> Path:
    """Write a report's page, and beside it the same in Markdown, see `to_markdown`."""
    write_atomically(page.with_suffix(".md"), _bytes(to_markdown(report, charts=charts)))
    write_atomically(page, _bytes(to_html(report)))
    return page


def _bytes(text: str) -> bytes:
    # Names of files may hold bytes that are no UTF-8.
    return text.encode(errors="backslashreplace")


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
        # Markdown has a filter of its own.
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["neighbours"] = _neighbours
    found.filters["plain"] = _plain
    found.filters["in_cell"] = lambda text: _plain(text).replace("|", "\\|")
    return found


def _plain(text: str) -> str:
    """Keep what people name from being read as Markdown's or HTML's own signs."""
    return re.sub(r"[\[\]<`]", r"\\\g<0>", " ".join(text.split("\n")))


def _neighbours(parts: Sequence[Part]) -> Iterator[tuple[tuple[str, str], list[Part]]]:
    """Group what stands side by side: charts of one fold, sheets of one heading."""
    # Not Jinja's groupby: it sorts, and parts stand in their order.
    for kind, group in itertools.groupby(parts, key=_kind):
        yield kind, list(group)


def _kind(part: Part) -> tuple[str, str]:
    if isinstance(part, Chart):
        return "charts", part.fold
    return ("sheets", part.of) if isinstance(part, Sheet) else ("tables", "")
