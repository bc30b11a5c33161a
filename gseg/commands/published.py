"""``gseg published``: the papers' numbers as one Parquet file."""

import argparse

from rich.console import Console

from gseg.recipes.published.cells import published_tables, unreadable_cells
from gseg.recipes.published.files import write_published


def write(options: argparse.Namespace, console: Console) -> int:
    """Write the file.

    Args:
        options: ``out``.
        console: Hears what is in it.

    Returns:
        Exit status 0.
    """
    path = write_published(options.out)
    table = published_tables()
    counts = (len(table), int(table["suspect"].sum()), len(unreadable_cells()))
    console.print(
        f"{path}: {counts[0]} numbers, {counts[1]} of them suspect; {counts[2]} more are "
        "unreadable in the papers' text",
        markup=False,
    )
    return 0
