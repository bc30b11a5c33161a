"""The command line of recipes that end with a direction: plan, search, table, Parquet."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pandas as pd
from rich.console import Console

from gseg.artifacts import StorageError, Store, replacing
from gseg.commands.backend import LocalBackend
from gseg.commands.bars import progress_bar
from gseg.direction_trials import DirectionTrial, Found, find_directions
from gseg.distributed.view import format_seconds
from gseg.generators.identity import weights_digest
from gseg.parsing import WRONG_USE, Parser
from gseg.plan import direction_seconds
from gseg.progress import Report
from gseg.recipes import Axes, Grid, grids
from gseg.sweep_arguments import add_axes, add_storage
from gseg.sweep_options import chosen_axes

Recipe = Callable[[Grid, Axes], list[DirectionTrial]]
Show = Callable[[Sequence[Found], argparse.Namespace, Console], pd.DataFrame]

_FILE_WIDTH: Final = 100


def direction_parser(description: str) -> Parser:
    """Make the parser of the command line.

    Args:
        description: What ``--help`` says first.
    """
    parser = Parser(description=description, allow_abbrev=False)
    add_axes(parser.add_argument_group("what to search"))
    add_storage(parser.add_argument_group("where things are"))
    how = parser.add_argument_group("how to run")
    how.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where to compute. Default: cpu"
    )
    how.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.set_defaults(data_size=[], mask_kind=[])
    return parser


def direction_main(
    name: str,
    recipe: Recipe,
    show: Show,
    description: str,
    arguments: list[str] | None = None,
) -> int:
    """Run a recipe of directions from the command line.

    Args:
        name: Of the recipe; its rows go to ``results/<name>/``.
        recipe: Makes the searches.
        show: Prints what was found, and gives the rows to write.
        description: What ``--help`` says first.
        arguments: Command line; that of the process by default.

    Returns:
        Exit status: 0, or 2 for wrong use.
    """
    options = direction_parser(description).parse(arguments)
    width = None if sys.stdout.isatty() else _FILE_WIDTH
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, width=width)
    try:
        _run(name, recipe, show, options, console)
    except (ValueError, StorageError) as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False, soft_wrap=True)
        return WRONG_USE
    return 0


def _run(
    name: str, recipe: Recipe, show: Show, options: argparse.Namespace, console: Console
) -> None:
    if options.weights is not None:
        os.environ["GSEG_WEIGHTS"] = str(options.weights.absolute())
    trials = recipe(grids()[options.grid], chosen_axes(options, default=()))
    for generator in dict.fromkeys(trial.generator for trial in trials):
        weights_digest(generator)
    _print_plan(name, trials, options, console)
    if options.dry_run:
        return
    Store(options.storage).check()
    with progress_bar("directions") as progress:
        found = find_directions(
            trials,
            options.storage.absolute(),
            LocalBackend(options.device),
            _report_to(progress),
        )
    rows = show(found, options, console)
    place: Path = options.results / name / "rows.parquet"
    with replacing(place) as part:
        rows.to_parquet(part, index=False)
    console.print(f"rows: {place.parent}  (pandas.read_parquet reads the folder)", markup=False)


def _report_to(progress: Callable[[int, int | None], None]) -> Report:
    def report(stage: str, done: int, total: int, detail: str = "") -> None:
        progress(done, total)

    return report


def _print_plan(
    name: str, trials: Sequence[DirectionTrial], options: argparse.Namespace, console: Console
) -> None:
    costs = [
        direction_seconds(each.generator, each.search.steps, each.search.batch, options.device)
        for each in trials
    ]
    console.print(
        f"{name}: {len(trials)} directions, at most {format_seconds(sum(costs))} of one-thread "
        "time; those in the storage are not searched again",
        markup=False,
    )
    if options.dry_run:
        for trial, cost in zip(trials, costs, strict=True):
            search = trial.search
            console.print(
                f"  {trial.generator} λ={search.contrast_weight:g} ε={search.epsilon:g} "
                f"seed={search.seed}: {format_seconds(cost)}",
                markup=False,
            )
