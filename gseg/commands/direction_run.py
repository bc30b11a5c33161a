"""The command line of recipes that end with a direction: plan, search, table, Parquet."""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import torch
from rich.console import Console

from gseg.commands.app import Parser, at_least
from gseg.commands.arguments import add_axes, add_storage
from gseg.commands.bars import progress_bar
from gseg.commands.messages import run_told
from gseg.commands.options import chosen_axes
from gseg.distributed.view import format_seconds
from gseg.generators.catalogue import use_weights, weights_folder
from gseg.generators.identity import weights_digest
from gseg.pipeline.direction_trial import DirectionTrial, Found
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend, require_device
from gseg.pipeline.plan import SweepPlan, make_plan
from gseg.pipeline.trial import Context, trial_graph
from gseg.recipes.grids import Axes, Grid, grids
from gseg.recipes.trials import varied_grids
from gseg.storage.mirror import describe
from gseg.storage.store import Store, replacing

Recipe = Callable[[Grid, Axes], list[DirectionTrial]]
Show = Callable[[Sequence[Found], argparse.Namespace, Console], pd.DataFrame]


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
    how.add_argument(
        "--processes",
        type=at_least(0),
        default=0,
        metavar="N",
        help="searches at the same time, each on one core or on the GPU. Default: 0, as many as "
        "there are cores, or one on a GPU",
    )
    how.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    how.add_argument("--plain", action="store_true", help="print lines instead of a progress bar")
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
        Exit status: 0, 2 for wrong use, 130 if interrupted.
    """
    options = direction_parser(description).parse(arguments)
    return run_told(lambda console: _run(name, recipe, show, options, console))


def _run(
    name: str, recipe: Recipe, show: Show, options: argparse.Namespace, console: Console
) -> int:
    use_weights(options.weights)
    varied = chosen_axes(options)
    grids_here = varied_grids(grids()[options.grid], varied)
    trials = list(dict.fromkeys(each for grid in grids_here for each in recipe(grid, varied)))
    for generator in dict.fromkeys(trial.generator for trial in trials):
        weights_digest(generator)
    setting = Context(storage=options.storage.absolute())
    plan = make_plan(trials, setting, options.device)
    _print_plan(name, trials, plan, options, console)
    if options.dry_run:
        return 0
    require_device(options.device)
    Store(options.storage).check()
    with progress_bar("directions") as bar:
        found = []
        for each in _search(trials, len(plan.missing), setting, options):
            found.append(each)
            bar(len(found), len(trials))
            if options.plain:
                seconds = format_seconds(each.artifact.seconds)
                say = f"[{len(found)}/{len(trials)}] {each.trial.label}: {seconds}"
                console.print(say, markup=False)
    rows = show(found, options, console)
    place: Path = options.results / name / "rows.parquet"
    with replacing(place) as part:
        rows.to_parquet(part, index=False)
    console.print(f"rows: {place.parent}  (pandas.read_parquet reads the folder)", markup=False)
    return 0


def _search(
    trials: Sequence[DirectionTrial], missing: int, setting: Context, options: argparse.Namespace
) -> Iterator[Found]:
    """Search in this process, or in several; directions are the same either way."""
    cores = 1 if options.device == "cuda" else os.cpu_count() or 1
    processes = max(1, min(options.processes or cores, missing))
    one = partial(search_one, setting=setting, device=options.device)
    if processes == 1:
        yield from map(one, trials)
        return
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=use_weights, initargs=(weights_folder(),)
    ) as pool:
        yield from pool.map(one, trials)


def search_one(trial: DirectionTrial, *, setting: Context, device: str) -> Found:
    """Search one direction on one thread, as sweeps do: its last bits depend on it.

    Args:
        trial: What to search.
        setting: Where directions are or will be.
        device: Kind of device.
    """
    direction = trial_graph(trial, setting, device).direction
    assert direction is not None
    shop = Workshop(Store(setting.storage), LocalBackend(device))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Found(trial=trial, artifact=shop.make(direction))
    finally:
        torch.set_num_threads(threads)


def _print_plan(
    name: str,
    trials: Sequence[DirectionTrial],
    plan: SweepPlan,
    options: argparse.Namespace,
    console: Console,
) -> None:
    where, left = describe(options.storage), plan.stages.get("direction", 0)
    console.print(
        f"{name}: {len(trials)} directions, {len(trials) - left} of them found in {where}; the "
        f"others take {format_seconds(plan.seconds)} of one-thread time",
        markup=False,
    )
    if options.dry_run:
        for trial, seconds in zip(trials, plan.estimates, strict=True):
            console.print(f"  {trial.told}: {format_seconds(seconds)}", markup=False)
