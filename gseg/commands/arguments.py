"""The options that all sweeps share, group by group."""

import argparse
from pathlib import Path
from typing import get_args

from gseg.commands.app import at_least, place
from gseg.directions import CANDIDATE_KINDS
from gseg.distributed.runtime import Placement
from gseg.pipeline.experiment import MASK_KINDS
from gseg.recipes import DIRECTION_WAYS, grids
from gseg.scores.sizes import EvalProtocol


def add_axes(group: argparse._ArgumentGroup) -> None:
    """Add the options that say what directions are searched of, and how."""
    group.add_argument(
        "--generators",
        nargs="+",
        default=[],
        metavar="NAME",
        help="catalogue names, or: embedded (the twelve that ship with gseg), snapshots (from the "
        "training of one of them), published (public checkpoints, which need --weights), all; or "
        "FILE.py:FUNCTION, a function of your own that returns a generator. Default: embedded, or "
        "those that a table is about",
    )
    group.add_argument(
        "--grid",
        choices=list(grids()),
        default="embedded",
        help="settings of all stages: embedded (minutes on a laptop), paper (the published "
        "settings), smoke (seconds, to see that everything works). Default: embedded",
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
        "--seeds",
        nargs="+",
        type=int,
        default=[0],
        metavar="SEED",
        help="trial seeds, 0 or more. Default: 0",
    )


def add_what(group: argparse._ArgumentGroup) -> None:
    """Add the options that say which trials to run."""
    add_axes(group)
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
        "--data-size",
        nargs="+",
        type=int,
        default=[],
        metavar="N",
        help="numbers of accepted samples to train segmenters on. Default: the grid's",
    )
    group.add_argument(
        "--mask-kind",
        nargs="+",
        choices=MASK_KINDS,
        default=[],
        help="what masks are made from: the lighter or darker direction (Eq. 3), both (Eq. 2), an "
        "ensemble of two networks, the shifted picture's mean, or which of two colour maps a pixel "
        "takes, fitted to the direction (affine) or to each picture. Default: lighter, or what a "
        "table is about",
    )


def add_scoring(group: argparse._ArgumentGroup) -> None:
    """Add the options that say what to score on."""
    group.add_argument(
        "--benchmark",
        nargs="+",
        default=[],
        metavar="NAME",
        help="scenes, scenes:COUNT (held-out embedded pictures), folder:PATH (a folder with "
        "images/ and masks/, paired by file name), or a published data set (gseg benchmarks lists "
        "them), such as cub or cub:PATH; NAME+subset scores on what is there, whatever the "
        "published number, NAME+threshold cuts grey masks at half. Default: scenes, or with --grid "
        "paper those of the table",
    )
    group.add_argument(
        "--benchmarks-root",
        type=place,
        metavar="DIR",
        help="folder in which published data sets without a path are looked for, or "
        "s3://BUCKET/PREFIX, all of which each machine copies. Default: that of "
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


def add_storage(group: argparse._ArgumentGroup) -> None:
    """Add the options that say where things are."""
    group.add_argument(
        "--weights",
        type=place,
        metavar="DIR",
        help="folder of published weights, or s3://BUCKET/PREFIX. Default: that of the "
        "environment's GSEG_WEIGHTS",
    )
    group.add_argument(
        "--storage",
        type=place,
        default=Path("storage"),
        metavar="DIR",
        help="folder of everything that is made, found again by the next run, or "
        "s3://BUCKET/PREFIX. Default: ./storage",
    )
    group.add_argument(
        "--results",
        type=_here,
        default=Path("results"),
        metavar="DIR",
        help="folder of the Parquet rows and figures. Default: ./results",
    )


def add_places(group: argparse._ArgumentGroup) -> None:
    """Add the options that say where things are, and where curves go."""
    add_storage(group)
    group.add_argument(
        "--tensorboard",
        type=Path,
        metavar="DIR",
        help="also write the loss curves of finished trials there, as TensorBoard's event files",
    )


def add_running(group: argparse._ArgumentGroup) -> None:
    """Add the options that say how to run."""
    group.add_argument(
        "--address", help="a running Ray cluster, or auto; without it Ray starts on this machine"
    )
    group.add_argument(
        "--cpus",
        type=at_least(1),
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
        type=at_least(1),
        default=1,
        metavar="N",
        help="replicas of one training. Default: 1",
    )
    group.add_argument(
        "--drawers",
        type=at_least(0),
        default=0,
        metavar="N",
        help="actors that draw for one trial. Default: 0, as many as there are CPUs or GPUs",
    )
    group.add_argument(
        "--min-drawers",
        type=at_least(0),
        default=0,
        metavar="N",
        help="actors that it begins with; more come while there is room. Default: 0, all at once",
    )
    group.add_argument(
        "--batch",
        type=at_least(1),
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
        "--concurrency",
        type=at_least(0),
        default=0,
        metavar="N",
        help="trials at the same time. Default: 0, as many as fit",
    )
    group.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    group.add_argument("--plain", action="store_true", help="print lines instead of a live view")


def _here(text: str) -> Path:
    """Make an option's type: a folder of this machine."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"expected a folder of this machine, got {text!r}. With --storage s3://... rows need "
            "no place of their own: the same command on any machine writes them from the storage."
        )
    return Path(text)
