"""A report as one HTML file that needs no network, no script and no other file."""

import base64
import itertools
from html import escape
from typing import Final

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from gseg.reports.content import Cell, Chart, Part, Report, ReportTable, Section, Sheet
from gseg.reports.style import STYLE

_LONG_TEXT: Final = 40
"""Letters from which on a column's text is broken into lines."""
_NARROWEST: Final = 256
"""Width of a sheet with its caption, in pixels."""


def to_html(report: Report) -> str:
    """Write a report as a page.

    Args:
        report: Its content.

    Returns:
        A whole HTML document.
    """
    links = "".join(
        f'<li><a href="#{section.anchor}">{escape(section.title)}</a></li>'
        for section in report.sections
    )
    body = "".join(_section(section) for section in report.sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(report.title)}</title><style>{STYLE}</style></head>\n"
        f"<body><header><h1>{escape(report.title)}</h1></header>"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav><main>{body}</main></body></html>\n'
    )


def _section(section: Section) -> str:
    text = "".join(f"<p>{escape(paragraph)}</p>" for paragraph in section.text)
    groups = itertools.groupby(section.parts, key=_kind)
    parts = "".join(_group(kind, list(parts)) for kind, parts in groups)
    title = escape(section.title)
    return f'<section id="{section.anchor}"><h2>{title}</h2>{text}{parts}</section>\n'


def _kind(part: Part) -> tuple[str, str]:
    """Say what a part shares with its neighbours: charts and sheets stand side by side."""
    if isinstance(part, Chart):
        return "charts", part.fold
    return ("sheets", part.of) if isinstance(part, Sheet) else ("", "")


def _group(kind: tuple[str, str], parts: list[Part]) -> str:
    """Write neighbours of one kind; charts of a fold where they can be unfolded."""
    name, title = kind
    whole = "".join(_part(part) for part in parts)
    if name:
        whole = f'<div class="{name}">{whole}</div>\n'
    if name == "charts" and title:
        return _folded(title, whole)
    return f"<h3>{escape(title)}</h3>{whole}" if title else whole


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>\n"


def _part(part: Part) -> str:
    if isinstance(part, ReportTable):
        return _table(part)
    caption = f"<figcaption>{escape(part.caption)}</figcaption>"
    if isinstance(part, Chart):
        return f"<figure>{part.svg}{caption}</figure>"
    width = max(part.width, _NARROWEST)
    return f'<figure style="width:{width}px">{_image(part)}{caption}</figure>\n'


def _image(sheet: Sheet) -> str:
    content = base64.b64encode(sheet.webp).decode()
    shown = f"{sheet.of}: {sheet.caption}" if sheet.of else sheet.caption
    return (
        f'<img alt="{escape(shown)}" width="{sheet.width}" height="{sheet.height}" '
        f'src="data:image/webp;base64,{content}">'
    )


def _table(table: ReportTable) -> str:
    kinds = [_column_kind(table, name) for name in table.columns]
    heads = "".join(
        f'<th scope="col"{_class(kind)}>{escape(table.heading(name))}</th>'
        for name, kind in zip(table.columns, kinds, strict=True)
    )
    lines = []
    for cells in table.cells(table.most):
        shown = (_cell(cell, kind) for cell, kind in zip(cells, kinds, strict=True))
        lines.append(f"<tr>{''.join(shown)}</tr>")
    hidden = len(table.frame) - table.most
    note = table.note
    if hidden > 0:
        note = f"{note} {hidden:,} more lines are in tables/{table.name}.csv.".strip()
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    items = "".join(f"<li>{escape(text)}</li>" for text in table.notes)
    below += f'<ol class="note">{items}</ol>' if items else ""
    whole = (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{below}"
    )
    if table.folded:
        return _folded(table.title, whole)
    title = f"<h3>{escape(table.title)}</h3>" if table.title else ""
    return f"{title}{whole}\n"


def _cell(cell: Cell, kind: str) -> str:
    text = escape(cell.text)
    if cell.link:
        text = f'<a href="{escape(cell.link)}">{text}</a>'
    return f"<td{_class(kind, 'best' if cell.best else '')}>{text}</td>"


def _class(*kinds: str) -> str:
    names = " ".join(kind for kind in kinds if kind)
    return f' class="{names}"' if names else ""


def _column_kind(table: ReportTable, name: str) -> str:
    """Say how a column is set: numbers at the right, long text in lines, short text in one."""
    column = table.frame[name]
    if name in table.footnotes:
        return ""
    if is_numeric_dtype(column.dtype) and not is_bool_dtype(column.dtype):
        return "number"
    longest = column.astype("string").str.len().max()
    return "long" if pd.notna(longest) and longest > _LONG_TEXT else ""
