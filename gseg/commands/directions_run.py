"""Recipes that end with a direction: plan, search, table, Parquet."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import torch

from gseg.commands.app import console
from gseg.commands.bars import progress_bar
from gseg.commands.endings import DIRECTION_ENDINGS
from gseg.commands.options import SweepOptions
from gseg.distributed.view import format_seconds
from gseg.generators.catalogue import use_weights, weights_folder
from gseg.generators.weights import weights_digest
from gseg.pipeline.backend import LocalBackend
from gseg.pipeline.direction_trial import DirectionTrial, Found
from gseg.pipeline.graph import Workshop
from gseg.pipeline.plan import make_plan
from gseg.pipeline.trial import Context, trial_graph
from gseg.recipes.recipe import Recipe
from gseg.storage.files import replacing
from gseg.storage.mirror import describe
from gseg.storage.store import Store


def run_directions(recipe: Recipe, options: SweepOptions) -> int:
    """Run a recipe of directions.

    Args:
        recipe: What is run; its rows go to ``results/<name>/``.
        options: Of the command line.

    Returns:
        Exit status 0.

    Raises:
        ValueError: An option is out of range, or weights are not there.
    """
    from gseg.commands.sweep import recipe_axes

    say, device, places = console().print, options.resources.device, options.places
    options.check_resources()
    use_weights(places.weights)
    axes = recipe_axes(recipe, options)
    made = [each for grid in options.grids(axes) for each in recipe.make(grid, axes)]
    trials = [each for each in dict.fromkeys(made) if isinstance(each, DirectionTrial)]
    for generator in dict.fromkeys(trial.generator for trial in trials):
        weights_digest(generator)
    setting = options.context()
    plan = make_plan(trials, setting, device)
    left = plan.stages.get("direction", 0)
    say(
        f"{recipe.name}: {len(trials)} directions, {len(trials) - left} of them found in "
        f"{describe(places.storage)}; the others take {format_seconds(plan.seconds)} of one-thread "
        "time"
    )
    if options.running.dry_run:
        for trial, seconds in zip(trials, plan.estimates, strict=True):
            say(f"  {trial.told}: {format_seconds(seconds)}")
        return 0
    Store(places.storage).check()
    with progress_bar("directions") as bar:
        found: list[Found] = []
        for each in _search(trials, len(plan.missing), setting, options):
            found.append(each)
            bar(len(found), len(trials))
            if options.running.plain:
                seconds = each.artifact.seconds
                say(f"[{len(found)}/{len(trials)}] {each.trial.label}: {format_seconds(seconds)}")
    rows = DIRECTION_ENDINGS[recipe.name](found, options, console())
    if rows is not None:
        folder = places.results / recipe.name
        with replacing(folder / "rows.parquet") as part:
            rows.to_parquet(part, index=False)
        say(f"rows: {folder}  (pandas.read_parquet reads the folder)")
    return 0


def _search(
    trials: Sequence[DirectionTrial], missing: int, setting: Context, options: SweepOptions
) -> Iterator[Found]:
    """Search in this process, or in several; directions are the same either way."""
    device = options.resources.device
    cores = 1 if device == "cuda" else os.cpu_count() or 1
    processes = max(1, min(options.resources.concurrency or cores, missing))
    one = partial(search_one, setting=setting, device=device)
    if processes == 1:
        yield from map(one, trials)
        return
    with ProcessPoolExecutor(
        processes, get_context("spawn"), initializer=use_weights, initargs=(weights_folder(),)
    ) as pool:
        yield from pool.map(one, trials)


def search_one(trial: DirectionTrial, *, setting: Context, device: str) -> Found:
    """Search a direction, or find it where it is."""
    direction = trial_graph(trial, setting, device).direction
    assert direction is not None
    shop = Workshop(Store(setting.storage), LocalBackend(device))
    # A direction's last bits depend on the number of threads; sweeps search on one.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return Found(trial=trial, artifact=shop.make(direction))
    finally:
        torch.set_num_threads(threads)
