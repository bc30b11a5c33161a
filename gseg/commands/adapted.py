"""Sweeps over latents that are adapted to real pictures (Voynov et al. 2021, section 3.3).

What such a sweep needs beside its recipe is made before its trials: without ``--embeddings`` the
embedded size embeds the first scenes that its generator was trained on, with that generator's own
encoder; the paper's size asks for a file. A dry run makes none of it: what is not there counts
in the plan, and a config that says so stands in its place.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gseg.commands.options import sweep_parser
from gseg.commands.run import Recipe, sweep_main
from gseg.generators.own_encoder import choose_encoder
from gseg.pipeline.backend import LocalBackend
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.jobs.fit import Material, Pairs
from gseg.pipeline.jobs.measure import PictureSet
from gseg.pipeline.plan import Missing, planned
from gseg.pipeline.progress import silent
from gseg.pipeline.stages import make_segmenter
from gseg.pipeline.stages.embeddings import EMBEDDINGS, make_embeddings
from gseg.recipes import Axes, Grid, grids
from gseg.recipes.tables import PaperTable
from gseg.recipes.voynov2021 import main_generator
from gseg.samples import LatentConfig, near_embeddings
from gseg.samples.labeller import LabellerConfig, labeller
from gseg.scenes.pictures import SCENES_NAME
from gseg.storage.store import Note, Store

LabelledRecipe = Callable[[Grid, Axes, LabellerConfig], list[Experiment]]

LARGE_SET: Final = 5_000
"""Scenes that stand for ImageNet."""
SMALL_SET: Final = 500
"""Scenes that stand for a small data set such as CUB."""
_ENCODER: Final = "bigbigan.scenes32-large"
_RUNS: Final = {"paper": 10, "embedded": 3, "smoke": 1}
"""Runs of each trial: ten in Tables 1 and 2 of the paper."""
_LABELLER: Final = "--labeller"


def adapted_main(
    name: str,
    recipe: Recipe,
    description: str,
    *,
    table: PaperTable | None = None,
    benchmarks: tuple[str, ...] = (),
    pictures: int = LARGE_SET,
) -> int:
    """Run a sweep whose recipe wants embeddings.

    Args:
        name: See `gseg.commands.run.sweep_main`.
        recipe: Gets a grid whose samples' latents are the embeddings.
        description: What ``--help`` says first.
        table: See `sweep_main`.
        benchmarks: Of the paper's size, unless the command line names some; by default the
            table's.
        pictures: Scenes that the embedded size embeds.

    Returns:
        Exit status, see `sweep_main`.
    """
    arguments = sys.argv[1:]
    options = sweep_parser(description).parse(arguments)
    arguments += _defaults(options, arguments, benchmarks, table)
    missing = Missing()

    def made(grid: Grid, axes: Axes) -> list[Experiment]:
        return recipe(with_embeddings(grid, options, pictures, missing), axes)

    return sweep_main(name, made, description, arguments, table=table, first=missing.costs)


def labelled_main(
    name: str, recipe: LabelledRecipe, description: str, *, table: PaperTable | None = None
) -> int:
    """Run a sweep whose recipe wants embeddings and another model's masks.

    The command line takes ``--labeller NAME`` as well, see `gseg.samples.labeller`. The embedded
    size has the same network in its place, trained with the true masks of scenes.

    Args:
        name: See `adapted_main`.
        recipe: Gets the labeller as its third argument.
        description: See `adapted_main`.
        table: See `adapted_main`.

    Returns:
        Exit status.
    """
    parser = sweep_parser(description)
    parser.add_argument(
        _LABELLER,
        metavar="NAME",
        help="who gives the other masks: segmenter:FILE, folder:PATH, FILE.py:FUNCTION or "
        "MODULE:FUNCTION. Default: with embedded generators a network trained with true masks",
    )
    options = parser.parse(sys.argv[1:])
    arguments = _without(_LABELLER, sys.argv[1:])
    arguments += _defaults(options, arguments, (), table)
    missing = Missing()

    def made(grid: Grid, axes: Axes) -> list[Experiment]:
        named = options.labeller
        whose = labeller(named) if named else _true_masks(grid, options, missing)
        return recipe(with_embeddings(grid, options, LARGE_SET, missing), axes, whose)

    return sweep_main(name, made, description, arguments, table=table, first=missing.costs)


def with_embeddings(
    grid: Grid, options: argparse.Namespace, pictures: int, note: Note | None = None
) -> Grid:
    """Give a grid embeddings, if the command line named none and scenes can stand for them.

    Args:
        grid: As the options say.
        options: Of a sweep's command line.
        pictures: Scenes to embed.
        note: Hears in a dry run that there are none yet.

    Returns:
        The grid; unchanged if it has embeddings, or if it is the paper's.
    """
    if grid.samples.latents.source == "embeddings" or grid.name == "paper":
        return grid
    encoder = choose_encoder(_ENCODER, sampled=True)
    source = PictureSet(count=pictures, resolution=encoder.resolution)
    made = make_embeddings(_store(options, note), source, encoder, silent)
    file = made.folder / EMBEDDINGS
    if options.dry_run and not made.reused:
        latents = LatentConfig(embeddings=str(file), embeddings_digest=planned(made))
    else:
        latents = near_embeddings(file)
    return replace(grid, samples=replace(grid.samples, latents=latents))


def _store(options: argparse.Namespace, note: Note | None) -> Store:
    return Store(options.storage.absolute(), read_only=options.dry_run, note=note)


def _true_masks(grid: Grid, options: argparse.Namespace, note: Note) -> LabellerConfig:
    """Train the network that stands for a supervised saliency model."""
    if grid.name == "paper":
        raise ValueError(
            f"Name the model that gives the other masks ({_LABELLER}); the paper's is U²-Net."
        )
    material = Material(training=(Pairs(count=max(grid.data_sizes)),), parents=(SCENES_NAME,))
    store, backend = _store(options, note), LocalBackend("cpu")
    made = make_segmenter(store, material, grid.training, backend, silent)
    file = made.folder / "segmenter.safetensors"
    if options.dry_run and not made.reused:
        return LabellerConfig(kind="segmenter", place=str(file), digest=planned(made))
    return labeller(f"segmenter:{file}")


def _defaults(
    options: argparse.Namespace,
    arguments: list[str],
    benchmarks: tuple[str, ...],
    table: PaperTable | None,
) -> list[str]:
    """Give the words for what the command line leaves open."""
    found: list[str] = []
    if not any(word.split("=")[0] == "--seeds" for word in arguments):
        found += ["--seeds", *(str(seed) for seed in range(_RUNS.get(options.grid, 1)))]
    if table is None and not options.generator:
        found += ["--generators", main_generator(grids()[options.grid])]
    if options.grid == "paper" and not options.benchmark and benchmarks:
        found += ["--benchmark", *benchmarks]
    return found


def _without(option: str, arguments: list[str]) -> list[str]:
    """Leave an option and its value out."""
    found: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == option:
            next(words, None)
        elif not word.startswith(f"{option}="):
            found.append(word)
    return found
