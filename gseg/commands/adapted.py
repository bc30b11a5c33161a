"""Sweeps over latents that are adapted to real pictures (Voynov et al. 2021, section 3.3).

Their recipes ask for what other sweeps do without: several runs, one generator, embeddings.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Final

from gseg.commands.options import sweep_parser
from gseg.commands.run import Recipe, sweep_main
from gseg.pipeline.experiment import Experiment
from gseg.recipes.grids import Axes, Grid, grids
from gseg.recipes.tables import PaperTable
from gseg.recipes.voynov2021 import main_generator
from gseg.samples.config import LabellerConfig
from gseg.samples.labeller import labeller

LabelledRecipe = Callable[[Grid, Axes, LabellerConfig | None], list[Experiment]]

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
) -> int:
    """Run a sweep over latents that are adapted to pictures.

    Args:
        name: See `gseg.commands.run.sweep_main`.
        recipe: Makes the experiments.
        description: What ``--help`` says first.
        table: See `sweep_main`.
        benchmarks: Of the paper's size, unless the command line names some; by default the
            table's.

    Returns:
        Exit status, see `sweep_main`.
    """
    arguments = sys.argv[1:]
    options = sweep_parser(description).parse(arguments)
    arguments += _defaults(options, arguments, benchmarks, table)
    return sweep_main(name, recipe, description, arguments, table=table)


def labelled_main(
    name: str, recipe: LabelledRecipe, description: str, *, table: PaperTable | None = None
) -> int:
    """Run a sweep over such latents whose recipe wants another model's masks, too.

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

    def made(grid: Grid, axes: Axes) -> list[Experiment]:
        return recipe(grid, axes, labeller(options.labeller) if options.labeller else None)

    return sweep_main(name, made, description, arguments, table=table)


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
