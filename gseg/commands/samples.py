"""``gseg samples``: draw samples of a generator, and look at samples."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gseg.commands.working import working
from gseg.generators.catalogue import use_weights
from gseg.generators.weights import weights_digest
from gseg.picture_files import encode_png
from gseg.pipeline.graph import Node, Workshop
from gseg.pipeline.jobs.job import prepare_process
from gseg.pipeline.progress import Report
from gseg.pipeline.stages.directions import DirectionNode, GivenDirection
from gseg.pipeline.trial import sample_nodes, samples_node
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans
from gseg.reports.sheets import sample_sheet
from gseg.samples.config import SampleConfig, filter_preset
from gseg.samples.labeller import sample_name
from gseg.samples.shards import Shard, shard_name
from gseg.storage.files import write_atomically
from gseg.storage.mirror import describe, fetch, storage_folder
from gseg.storage.store import Artifact, Store


def draw(options: argparse.Namespace, console: Console) -> int:
    """Draw samples into a storage.

    Args:
        options: See `gseg.commands.samples_options`.
        console: Hears where the samples are, and what was rejected.

    Returns:
        Exit status 0.

    Raises:
        ValueError: An option is out of range, nearly all is rejected, or there is no room.
    """
    use_weights(options.weights)
    weights_digest(options.generator)
    search, config = _settings(options)
    prepare_process(1)  # part of what the samples are: a sweep's trials take one
    direction: Node[Artifact] = DirectionNode(
        generator=options.generator, search=search, device=options.device
    )
    if options.direction is not None:
        direction = GivenDirection(given=options.direction)
    node = samples_node(options.generator, direction, config, options.count, options.device)
    with working(options) as backend, _bars() as report:
        store = Store(storage_folder(options.out).absolute())
        store.check()
        made = Workshop(store, backend, report).make(node)
    counts = dict(made.counts)
    candidates, accepted = counts.pop("candidates"), counts.pop("accepted")
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in counts.items() if number)
    folder = made.pairs.shards[0].parent
    console.print(
        f"{options.count:,} samples in {describe(folder)}\n{accepted:,} of {candidates:,} "
        f"candidates accepted{'; rejected: ' + reasons if reasons else ''}\n"
        f"look at them: gseg samples show {describe(folder)}",
        markup=False,
    )
    return 0


def show(options: argparse.Namespace, console: Console) -> int:
    """Draw a contact sheet of samples.

    Args:
        options: See `gseg.commands.samples_options`.
        console: Hears where the sheet is.

    Returns:
        Exit status 0.

    Raises:
        ValueError: There are no samples, or an option is out of range.
    """
    if min(options.rows, options.tile) < 1 or options.rejected < 0:
        raise ValueError(
            "--rows and --tile are at least 1 and --rejected at least 0, got "
            f"{options.rows}, {options.tile} and {options.rejected}."
        )
    about = sample_sheet(
        options.out,
        _shards(storage_folder(options.path)),
        rows=options.rows,
        rejected=options.rejected,
        tile=options.tile,
    )
    console.print(f"{options.out}: {about}", markup=False)
    return 0


def export(options: argparse.Namespace, console: Console) -> int:
    """Write the pictures of samples as files.

    Args:
        options: ``path`` and ``out``.
        console: Hears how many there are.

    Returns:
        Exit status 0.

    Raises:
        ValueError: There are no samples.
    """
    written = 0
    for path in _shards(storage_folder(options.path)):
        shard = Shard.load(path)
        seed = int(shard.provenance["config"]["seed"])
        for index, picture in zip(shard.indices.tolist(), shard.pictures, strict=True):
            file = options.out / f"{sample_name(seed, index)}.png"
            write_atomically(file, encode_png(picture))
            written += 1
    console.print(f"{written:,} pictures in {options.out}", markup=False)
    return 0


def _settings(options: argparse.Namespace) -> tuple[Any, SampleConfig]:
    """Give the search and the sampling that a sweep of the embedded grid would make."""
    axes: dict[str, tuple[Any, ...]] = {
        "generator": (options.generator,),
        "data_size": (options.count,),
        "seed": (options.seed,),
    }
    if options.epsilon is not None:
        axes["epsilon"] = (options.epsilon,)
    experiment = all_gans(grids()["embedded"], axes)[0]
    config = sample_nodes(experiment, options.device)[0].samples
    config = replace(
        config,
        mask_kind=options.mask_kind,
        filters=filter_preset(options.filters),
        picture_format=options.picture_format,
        **({} if options.batch is None else {"batch": options.batch}),
    )
    return experiment.search, config


def _shards(path: Path) -> list[Path]:
    """Find shards in what a user may mean by samples."""
    if path.suffix == ".parquet":
        return [path]
    sets = sorted(path.glob("samples/*"), key=lambda each: each.stat().st_mtime, reverse=True)
    for folder in (path, *sets):
        fetch(folder / shard_name(0))
        found = sorted(folder.glob("shard-*.parquet"))
        if found:
            return found
    raise ValueError(
        f"{describe(path)} holds no samples: give a file such as {shard_name(0)}, a folder of "
        "them, or a storage. gseg samples draw makes some."
    )


@contextmanager
def _bars() -> Iterator[Report]:
    """Show how far the stages are, on standard error if that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int, detail: str = "") -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, detail="")
            progress.update(tasks[stage], completed=done, total=total, detail=detail)

        yield report
