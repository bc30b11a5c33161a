"""What commands show: progress bars on standard error where that is a terminal, and tables."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from gseg.pipeline.progress import Report

READING: Final = "reading pictures to know them"
"""While sets are named by their content; a set is read once on a machine."""


@contextmanager
def stage_bars(*, in_bytes: bool = False) -> "Iterator[Report]":
    """Show a bar for each stage that reports.

    Args:
        in_bytes: Whether bytes are counted, not things.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int | None, detail: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, detail=detail)
            bars.update(tasks[stage], completed=done, total=total, detail=detail)

        yield report


@contextmanager
def reading_bar() -> Iterator[Callable[[int, int], None]]:
    """Show how far sets of pictures are read that this machine has not seen."""
    with stage_bars() as report:
        yield partial(report, READING)


@contextmanager
def progress_bar(
    title: str, *, in_bytes: bool = False
) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far something is.

    Args:
        title: What is going on.
        in_bytes: Whether bytes are counted, not things.

    Yields:
        A function that is called with how much is done and, where known, how much there is.
    """
    with stage_bars(in_bytes=in_bytes) as report:

        def progress(done: int, total: int | None) -> None:
            report(title, done, total)  # type: ignore[arg-type] # a bar without end, not a stage

        progress(0, None)  # there from the beginning, before anything is done
        yield progress


def plain_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()
) -> Table:
    """Make a table for the terminal.

    Args:
        headings: Of the columns.
        rows: Of as many cells.
        right: Headings of the columns that end at the right, as numbers do.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))  # as text: what is in brackets is no markup
    return table
