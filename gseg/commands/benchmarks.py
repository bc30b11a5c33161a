"""``gseg benchmarks``: the published benchmarks as a table, and checking a folder of them."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gseg.commands.bars import progress_bar
from gseg.scores.benchmarks import DataSetBenchmark
from gseg.scores.datasets.layouts import DataSet, NotHereError, find_place, first_of
from gseg.scores.datasets.verify import Verification, verify
from gseg.scores.specs import DATA_SETS, ROOT_VARIABLE, Specification, parse_spec

_GOOD, _SOME_BAD = 0, 1


def show(options: argparse.Namespace, console: Console) -> int:
    """List the published benchmarks.

    Args:
        options: ``root``.
        console: Receives the table, and where to get each.

    Returns:
        Exit status 0.

    Raises:
        ValueError: The root folder does not exist.
    """
    root = _root(options.root)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "data set", "pictures", "cut", "here"):
        number = heading == "pictures"
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for dataset in DATA_SETS.values():
        cut = "central square" if dataset.crop else "whole"
        cells = (dataset.name, dataset.title, f"{dataset.pictures:,}", cut, _state(dataset, root))
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    for dataset in DATA_SETS.values():
        console.print(
            f"{dataset.name}: {dataset.split}\n  from {dataset.address}\n"
            f"  licence: {dataset.licence}",
            markup=False,
        )
    where = root or f"none; set {ROOT_VARIABLE} or give --root DIR"
    console.print(f"folder of benchmarks: {where}", markup=False)
    return _GOOD


def check(options: argparse.Namespace, console: Console) -> int:
    """Read every file of the benchmarks in a folder.

    Args:
        options: ``root`` and ``names``.
        console: Hears of each data set, and of its bad files.

    Returns:
        Exit status: 0, or 1 if a data set is not complete or a file is bad.

    Raises:
        ValueError: There is no such folder or data set, or the folder holds none.
    """
    root = _root(options.root)
    assert root is not None
    wanted = [parse_spec(name) for name in options.names or DATA_SETS]
    for each in wanted:
        if each.kind not in DATA_SETS or each.rest:
            raise ValueError(
                f"{each.kind!r} is no data set to verify; there are {', '.join(DATA_SETS)}."
            )
    results = [_check(each, root, bool(options.names), console) for each in wanted]
    if all(result is None for result in results):
        raise ValueError(f"{root} holds none of {', '.join(each.kind for each in wanted)}.")
    return _GOOD if all(result is not False for result in results) else _SOME_BAD


def _check(wanted: Specification, root: Path, named: bool, console: Console) -> bool | None:
    """Check one data set; None if it is not there and nobody asked for it."""
    name = "+".join([wanted.kind, *wanted.options])
    try:
        benchmark = _open(wanted, root)
        with progress_bar(name) as progress:
            found = verify(benchmark, progress)
    except NotHereError as error:
        console.print(f"{name}: {error if named else 'not here'}", markup=False)
        return False if named else None
    except ValueError as error:
        console.print(f"{name}: {error}", markup=False)
        return False
    console.print(f"{name}: {_told(benchmark, found)}", markup=False)
    return not found.problems


def _open(wanted: Specification, root: Path) -> DataSetBenchmark:
    """Open a data set with its bad files listed, unless none is good."""
    return DataSetBenchmark(DATA_SETS[wanted.kind], root, options=wanted.options, skip_bad=True)


def _told(benchmark: DataSetBenchmark, found: Verification) -> str:
    place = benchmark.place
    counts: Sequence[tuple[int, str]] = (
        (found.empty, "without foreground"),
        (found.full, "without background"),
        (found.grey, "with grey, cut at half"),
    )
    masks = ", ".join(f"{count:,} {what}" for count, what in counts)
    bad = f"; {len(found.problems):,} bad:{first_of(found.problems)}" if found.problems else ""
    total = found.pictures + len(found.problems)
    return (
        f"{found.pictures:,} of {total:,} in good order in {place.folder} ({place.layout.name}); "
        f"foreground {found.foreground:.1%}; masks: {masks}{bad}"
    )


def _root(given: Path | None) -> Path | None:
    place = given or (Path(os.environ[ROOT_VARIABLE]) if os.environ.get(ROOT_VARIABLE) else None)
    if place is not None and not place.is_dir():
        raise ValueError(f"there is no folder {place}.")
    return place


def _state(dataset: DataSet, root: Path | None) -> str:
    if root is None:
        return ""
    try:
        return f"yes, {find_place(dataset, root).layout.name}"
    except NotHereError:
        return "no"
    except ValueError:
        return "not complete; gseg benchmarks verify says what is missing"
