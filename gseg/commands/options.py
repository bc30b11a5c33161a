"""The options that all sweeps share, and what they choose: grid, axes, setting, resources."""

import argparse
import difflib
import os
from dataclasses import replace
from typing import Final

import torch

from gseg.commands.app import Parser
from gseg.commands.arguments import add_places, add_running, add_scoring, add_settings, add_what
from gseg.commands.control import add_control
from gseg.commands.sampling import add_sampling, with_sampling
from gseg.distributed.runtime import Resources
from gseg.generators.catalogue import Kind, list_generators, own_file
from gseg.pipeline.settings import axes
from gseg.pipeline.trial import Context
from gseg.recipes.grids import Axes, Grid, grids
from gseg.recipes.trials import varied_grids
from gseg.scores.specs import absolute_spec

_KINDS: Final[tuple[Kind, ...]] = ("embedded", "snapshots", "published", "all")


def sweep_parser(description: str) -> Parser:
    """Make the parser of a sweep's command line.

    Args:
        description: What ``--help`` says first.

    Returns:
        The parser.
    """
    parser = Parser(description=description, allow_abbrev=False)
    add_what(parser.add_argument_group("what to run"))
    add_sampling(parser.add_argument_group("how to sample"))
    training = parser.add_argument_group("how to train")
    add_settings(training, lambda each: each.path.startswith("training.") and not each.is_seed)
    add_scoring(parser.add_argument_group("what to score on"))
    add_places(parser.add_argument_group("where things are"))
    add_running(parser.add_argument_group("how to run"))
    add_control(parser.add_argument_group("when to stop, what to repeat"))
    return parser


def chosen_grid(options: argparse.Namespace) -> Grid:
    """Give the grid that the options name, without what sweeps vary."""
    grid = grids()[options.grid]
    grid = replace(grid, training=replace(grid.training, replicas=options.workers))
    grid = with_sampling(grid, options)
    if options.batch is None:
        return grid
    blocks = max(1, grid.samples.shard_size // options.batch)
    samples = replace(grid.samples, batch=options.batch, blocks_per_shard=blocks)
    return replace(grid, samples=samples)


def chosen_grids(options: argparse.Namespace) -> list[Grid]:
    """Give the grids that the options name: one for each combination of what recipes do not vary.

    Raises:
        ValueError: A value is out of range, or means nothing under the others.
    """
    return varied_grids(chosen_grid(options), chosen_axes(options))


def chosen_axes(options: argparse.Namespace, *, default: tuple[str, ...] = ()) -> Axes:
    """Give what the options vary.

    Args:
        options: Of the command line.
        default: Words for generators if none are named; none to let a recipe choose.

    Raises:
        ValueError: A generator is unknown; the nearest is suggested.
    """
    names: list[str] = []
    kinds = {str(kind): kind for kind in _KINDS}
    for word in options.generator or default:
        kind = kinds.get(word)
        names += [card.name for card in list_generators(kind)] if kind else [word]
    found = {name: tuple(getattr(options, name, ())) for name in axes()}
    found["generator"] = tuple(_checked_generator(name) for name in names)
    return {name: values for name, values in found.items() if values}


def chosen_setting(
    options: argparse.Namespace, *, default: tuple[str, ...] = ("scenes",)
) -> Context:
    """Give what all trials have in common; paths become absolute, for processes elsewhere.

    Args:
        options: Of the command line.
        default: Benchmarks if none are named.
    """
    names = options.benchmark or default
    return Context(
        storage=options.storage.absolute(),
        benchmarks=tuple(absolute_spec(name, options.benchmarks_root) for name in names),
        eval_protocol=options.eval_protocol,
        skip_bad=options.skip_bad,
    )


def chosen_resources(options: argparse.Namespace) -> Resources:
    """Give what the sweep may use.

    Raises:
        ValueError: A number is out of range, or this machine has no GPU to give.
    """
    if options.gpus_per_trial > 0 and options.address is None and not torch.cuda.is_available():
        raise ValueError(
            f"--gpus-per-trial {options.gpus_per_trial:g}, but PyTorch sees no GPU on this "
            "machine: leave the option out, or name a cluster that has some (--address)."
        )
    cpus = options.cpus or os.cpu_count() or 1
    if options.address is None and options.workers > cpus:
        raise ValueError(
            f"--workers {options.workers}, but this machine's Ray has {cpus} CPUs: a replica "
            "needs one. Ask for fewer, or name a cluster (--address)."
        )
    return Resources(
        placement=options.placement,
        workers=options.workers,
        actors=options.actors,
        min_actors=options.min_actors,
        gpus_per_trial=options.gpus_per_trial,
        concurrency=options.concurrency,
    )


def _checked_generator(name: str) -> str:
    """Give the name by which every process finds a generator."""
    file = own_file(name)
    if file is not None:
        return f"{file.expanduser().absolute()}:{name.rpartition(':')[2]}"
    known = [card.name for card in list_generators()]
    if name not in known and not name.startswith("analytic."):
        near = difflib.get_close_matches(name, [*known, *_KINDS], n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(f"Unknown generator {name!r}{hint} There are {', '.join(known)}.")
    return name
