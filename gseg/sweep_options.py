"""The options that all sweeps share, and what they choose: grid, axes, setting, resources."""

import argparse
import difflib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

import torch

from gseg.directions import CANDIDATE_KINDS
from gseg.distributed.runtime import Placement, Resources
from gseg.experiment import MASK_KINDS
from gseg.generators import list_generators
from gseg.generators.catalogue import Kind
from gseg.generators.own import own_file
from gseg.mirror import storage_folder
from gseg.parsing import Parser
from gseg.recipes import DIRECTION_WAYS, Axes, Grid, grids
from gseg.scores.sizes import EvalProtocol
from gseg.scores.specs import absolute_spec
from gseg.trial import Setting

_KINDS: Final[tuple[Kind, ...]] = ("embedded", "snapshots", "published", "all")


def sweep_parser(description: str) -> Parser:
    """Make the parser of a sweep's command line.

    Args:
        description: What ``--help`` says first.

    Returns:
        The parser.
    """
    parser = Parser(description=description, allow_abbrev=False)
    _add_what(parser.add_argument_group("what to run"))
    _add_scoring(parser.add_argument_group("what to score on"))
    _add_places(parser.add_argument_group("where things are"))
    _add_running(parser.add_argument_group("how to run"))
    return parser


def chosen_grid(options: argparse.Namespace) -> Grid:
    """Give the grid that the options name."""
    grid = grids()[options.grid]
    grid = replace(grid, training=replace(grid.training, replicas=options.workers))
    grid = replace(grid, direction=options.direction)
    if options.candidates is not None:
        grid = grid.with_candidates(options.candidates)
    if options.batch is None:
        return grid
    blocks = max(1, grid.samples.shard_size // options.batch)
    samples = replace(grid.samples, batch=options.batch, blocks_per_shard=blocks)
    return replace(grid, samples=samples)


def chosen_axes(options: argparse.Namespace) -> Axes:
    """Give what the options vary.

    Raises:
        ValueError: A generator is unknown; the nearest is suggested.
    """
    names: list[str] = []
    kinds = {str(kind): kind for kind in _KINDS}
    for word in options.generators:
        kind = kinds.get(word)
        names += [card.name for card in list_generators(kind)] if kind else [word]
    return Axes(
        generators=tuple(_checked_generator(name) for name in names),
        contrast_weights=tuple(options.contrast_weight),
        epsilons=tuple(options.epsilon),
        data_sizes=tuple(options.data_size),
        mask_kinds=tuple(options.mask_kind),
        seeds=tuple(options.seeds),
    )


def chosen_setting(options: argparse.Namespace) -> Setting:
    """Give what all trials have in common; paths become absolute, for processes elsewhere."""
    return Setting(
        storage=options.storage.absolute(),
        benchmarks=tuple(absolute_spec(s, options.benchmarks_root) for s in options.benchmark),
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
        drawers=options.drawers,
        min_drawers=options.min_drawers,
        gpus_per_trial=options.gpus_per_trial,
        max_trials=options.max_trials,
    )


def _add_what(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--generators",
        nargs="+",
        default=["embedded"],
        metavar="NAME",
        help="catalogue names, or: embedded (the twelve that ship with gseg), snapshots (from the "
        "training of one of them), published (public checkpoints, which need --weights), all; or "
        "FILE.py:FUNCTION, a function of your own that returns a generator. Default: embedded",
    )
    group.add_argument(
        "--grid",
        choices=list(grids()),
        default="embedded",
        help="settings of all stages: embedded (minutes on a laptop), paper (the published "
        "settings), smoke (seconds, to see that everything works). Default: embedded",
    )
    group.add_argument(
        "--direction",
        choices=DIRECTION_WAYS,
        default="optimised",
        help="how directions are found: optimised (Melas-Kyriazi et al. 2022), or chosen among "
        "candidates by the rule of the paper (voynov2021) or by how much better two colour maps "
        "explain them than one (affine_ratio). Default: optimised",
    )
    group.add_argument(
        "--candidates",
        choices=CANDIDATE_KINDS,
        help="candidates to choose from. Default: the grid's",
    )
    group.add_argument(
        "--contrast-weight",
        nargs="+",
        type=float,
        default=[],
        metavar="λ",
        help="weights λ > 0 of the contrast loss in the search for a direction. "
        "Default: the grid's",
    )
    group.add_argument(
        "--epsilon",
        nargs="+",
        type=float,
        default=[],
        metavar="ε",
        help="lengths ε > 0 of the latent shift, in the search and for the masks. "
        "Default: the grid's",
    )
    group.add_argument(
        "--data-size",
        nargs="+",
        type=int,
        default=[],
        metavar="N",
        help="numbers of accepted samples to train segmenters on. Default: the grid's",
    )
    group.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=[0],
        metavar="SEED",
        help="trial seeds, 0 or more. Default: 0",
    )
    group.add_argument(
        "--mask-kind",
        nargs="+",
        choices=MASK_KINDS,
        default=["lighter"],
        help="what masks are made from: the lighter or darker direction (Eq. 3), both (Eq. 2), an "
        "ensemble of two networks, the shifted picture's mean, or which of two colour maps a pixel "
        "takes, fitted to the direction (affine) or to each picture. Default: lighter",
    )


def _add_scoring(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--benchmark",
        nargs="+",
        default=["scenes"],
        metavar="NAME",
        help="scenes, scenes:COUNT (held-out embedded pictures), folder:PATH (a folder with "
        "images/ and masks/, paired by file name), or a published data set (gseg benchmarks lists "
        "them), such as cub or cub:PATH; NAME+subset scores on what is there, whatever the "
        "published number, NAME+threshold cuts grey masks at half. Default: scenes",
    )
    group.add_argument(
        "--benchmarks-root",
        type=Path,
        metavar="DIR",
        help="folder in which published data sets without a path are looked for. Default: that of "
        "the environment's GSEG_BENCHMARKS",
    )
    group.add_argument(
        "--eval-protocol",
        choices=get_args(EvalProtocol),
        default="text",
        help="where scores are taken: at the segmenter's size (text), or at the mask's own as each "
        "official program does (melas_program, voynov_program). Default: text",
    )
    group.add_argument(
        "--skip-bad", action="store_true", help="leave out files that cannot be read, and list them"
    )


def _add_places(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="folder of published weights. Default: that of the environment's GSEG_WEIGHTS",
    )
    group.add_argument(
        "--storage",
        type=_storage,
        default=Path("storage"),
        metavar="DIR",
        help="folder of everything that is made, found again by the next run, or "
        "s3://BUCKET/PREFIX. Default: ./storage",
    )
    group.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder of the Parquet rows and figures. Default: ./results",
    )
    group.add_argument(
        "--tensorboard",
        type=Path,
        metavar="DIR",
        help="also write the loss curves of finished trials there, as TensorBoard's event files",
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--address", help="a running Ray cluster, or auto; without it Ray starts on this machine"
    )
    group.add_argument(
        "--cpus",
        type=_at_least(1),
        metavar="N",
        help="CPUs of the Ray that starts here. Default: all",
    )
    group.add_argument(
        "--placement",
        choices=get_args(Placement),
        default="auto",
        help="where stages run: in each trial's process, as distributed jobs on the cluster, or "
        "auto, which takes the cluster for stages of more than five minutes. Default: auto",
    )
    group.add_argument(
        "--workers",
        type=_at_least(1),
        default=1,
        metavar="N",
        help="replicas of one training. Default: 1",
    )
    group.add_argument(
        "--drawers",
        type=_at_least(0),
        default=0,
        metavar="N",
        help="actors that draw for one trial. Default: 0, as many as there are CPUs or GPUs",
    )
    group.add_argument(
        "--min-drawers",
        type=_at_least(0),
        default=0,
        metavar="N",
        help="actors that it begins with; more come while there is room. Default: 0, all at once",
    )
    group.add_argument(
        "--batch",
        type=_at_least(1),
        metavar="N",
        help="candidates that a generator draws at once. Another number gives other samples. "
        "Default: the grid's, or less where the first block does not fit into memory",
    )
    group.add_argument(
        "--gpus-per-trial",
        type=float,
        default=0.0,
        metavar="G",
        help="GPUs of a trial, a drawing actor or a replica; fractions share one. Default: 0",
    )
    group.add_argument(
        "--max-trials",
        type=_at_least(0),
        default=0,
        metavar="N",
        help="trials at the same time. Default: 0, as many as fit",
    )
    group.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    group.add_argument("--plain", action="store_true", help="print lines instead of a live view")


def _storage(text: str) -> Path:
    """Make an option's type: a folder, or an address on S3."""
    try:
        return storage_folder(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _at_least(low: int) -> Callable[[str], int]:
    """Make an option's type: whole numbers from `low`."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {low}, got {text!r}")
        return value

    return number


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
