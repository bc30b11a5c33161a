"""``gseg benchmarks``: the published benchmarks as a table, and checking a folder of them."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gseg.commands.app import console, make_app
from gseg.commands.bars import plain_table, progress_bar, reading_bar

if TYPE_CHECKING:
    from gseg.scores.benchmarks import Benchmark
    from gseg.scores.datasets.layouts import DataSet
    from gseg.scores.specs import Specification

Progress = Callable[[int, int], object]

app = make_app("benchmarks", "")


@app.default
def benchmarks(*, root: Path | None = None) -> int:
    """List the published benchmarks: how many pictures, where to get them, and which are here.

    docs/benchmarks.md shows where each data set's files belong.

    Args:
        root: Folder of benchmarks; without it the environment's GSEG_BENCHMARKS.

    Raises:
        ValueError: The root folder does not exist.
    """
    from gseg.scores.specs import DATA_SETS, ROOT_VARIABLE

    given = os.environ.get(ROOT_VARIABLE)
    root = _folder(root or (Path(given) if given else None))
    rows = [
        (
            dataset.name,
            dataset.title,
            f"{dataset.pictures:,}",
            "central square" if dataset.crop else "whole",
            _state(dataset, root),
        )
        for dataset in DATA_SETS.values()
    ]
    headings = ("name", "data set", "pictures", "cut", "here")
    say = console().print
    say(plain_table(headings, rows, right=("pictures",)))
    for dataset in DATA_SETS.values():
        say(f"{dataset.name}: {dataset.split}\n  from {dataset.address}")
        say(f"  licence: {dataset.licence}")
    say(f"folder of benchmarks: {root or f'none; set {ROOT_VARIABLE} or give --root DIR'}")
    return 0


@app.command
def verify(root: Path, names: tuple[str, ...] = (), /) -> int:
    """Read every file of the benchmarks in a folder, or of a folder of one's own.

    Every picture and mask is read, their number is compared with the published one, and masks
    without foreground are counted, and how those of a folder of one's own were read. Exit status
    1 if a data set is not complete or a file is bad.

    Args:
        root: Folder of the benchmarks; or folder:PATH, a folder with images/ and masks/ (with a
            coding such as folder+foreground=1+void=255:PATH).
        names: Data sets to check, such as cub or ecssd+subset; without them all that are there.

    Raises:
        ValueError: There is no such folder or data set, or the folder holds none.
    """
    from gseg.scores.benchmarks import DataSetBenchmark, open_benchmark
    from gseg.scores.specs import DATA_SETS, FOLDER, parse_spec

    own = str(root)
    if own.startswith((f"{FOLDER}:", f"{FOLDER}+")):
        if names:
            raise ValueError(f"{own} is one set of pictures: leave {names[0]} out.")
        parse_spec(own)

        def folder(reading: Progress) -> "Benchmark":
            return open_benchmark(own, skip_bad=True, progress=reading)

        return int(not _check(own, folder, named=True))
    _folder(root)
    wanted = [parse_spec(name) for name in names or DATA_SETS]
    for each in wanted:
        if each.kind not in DATA_SETS or each.rest:
            raise ValueError(
                f"{each.kind!r} is no data set to verify; there are {', '.join(DATA_SETS)}."
            )

    def opened(each: "Specification", reading: Progress) -> "Benchmark":
        # Bad files are listed, unless none is good.
        dataset = DATA_SETS[each.kind]
        return DataSetBenchmark(
            dataset, root, options=each.options, skip_bad=True, progress=reading
        )

    results = [
        _check("+".join([each.kind, *each.options]), partial(opened, each), named=bool(names))
        for each in wanted
    ]
    if all(result is None for result in results):
        raise ValueError(f"{root} holds none of {', '.join(each.kind for each in wanted)}.")
    return int(not all(result is not False for result in results))


def _check(name: str, opened: "Callable[[Progress], Benchmark]", *, named: bool) -> bool | None:
    """Check one set of pictures; None if it is not there and nobody asked for it."""
    from gseg.scores.benchmarks import DataSetBenchmark, FolderBenchmark
    from gseg.scores.datasets.layouts import NotHereError, first_of
    from gseg.scores.datasets.verify import verify

    say = console().print
    try:
        with reading_bar() as reading:
            benchmark = opened(reading)
        assert isinstance(benchmark, DataSetBenchmark | FolderBenchmark)
        with progress_bar(name) as progress:
            found = verify(benchmark, progress)
    except NotHereError as error:
        say(f"{name}: {error if named else 'not here'}")
        return False if named else None
    except ValueError as error:
        say(f"{name}: {error}")
        return False
    bad = found.problems
    listed = f"; {len(bad):,} bad:{first_of(bad)}" if bad else ""
    codings = ", ".join(f"{count:,} {coding}" for coding, count in found.codings.most_common())
    say(
        f"{name}: {found.pictures:,} of {found.pictures + len(bad):,} in good order in "
        f"{benchmark.where}; foreground {found.foreground:.1%}; masks: "
        f"{found.empty:,} without foreground, {found.full:,} without background, "
        f"{found.grey:,} with grey, cut at half{f'; read as {codings}' if codings else ''}{listed}"
    )
    for note in benchmark.notes:
        say(note)
    return not bad


def _folder(place: Path | None) -> Path | None:
    if place is not None and not place.is_dir():
        raise ValueError(f"there is no folder {place}.")
    return place


def _state(dataset: "DataSet", root: Path | None) -> str:
    from gseg.scores.datasets.layouts import NotHereError, find_place

    if root is None:
        return ""
    try:
        return f"yes, {find_place(dataset, root).layout.name}"
    except NotHereError:
        return "no"
    except ValueError:
        return "not complete; gseg benchmarks verify says what is missing"
