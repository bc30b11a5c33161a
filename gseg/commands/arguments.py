"""The options that all sweeps share, group by group."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args

from gseg.commands.app import at_least, place
from gseg.distributed.runtime import Placement
from gseg.pipeline.settings import Setting, axes
from gseg.recipes.grids import grids
from gseg.scores.specs import EvalProtocol

_VALUES: Final = {"word": str, "number": float, "count": int}
_METAVARS: Final = {"word": "NAME", "number": "X", "count": "N"}
_DEFAULTS: Final = {
    "seed": "0",
    "direction": "optimised",
    "mask_kind": "lighter, or what a table is about",
    "epsilon_sample": "that of the search",
    "alpha": "0",
    "truncation": "none",
}
"""Of options whose default is not the grid's."""
_GRID: Final = "the grid's"


def add_axes(group: argparse._ArgumentGroup) -> None:
    """Add the options that say of what directions are searched, and how."""
    group.add_argument(
        "--generators",
        dest="generator",
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
    add_settings(group, lambda each: each.path.startswith("search.") and not _is_way(each))
    add_settings(group, lambda each: each.is_seed)


def add_what(group: argparse._ArgumentGroup) -> None:
    """Add the options that say which trials to run."""
    add_axes(group)
    add_settings(group, _is_way)
    add_settings(group, lambda each: each.path in ("data_size", "mask_kind"))


def _is_way(setting: Setting) -> bool:
    """Whether it says how directions are found, and not how they are optimised."""
    return setting.axis in ("direction", "candidates")


def add_settings(group: argparse._ArgumentGroup, chosen: Callable[[Setting], bool]) -> None:
    """Add an option for each setting that sweeps vary; it takes one value or several.

    Args:
        group: Where they go.
        chosen: Says which settings.
    """
    for name, setting in axes().items():
        if not chosen(setting):
            continue
        meaning = (
            (setting.varies or setting.meaning)
            .replace("``", "")
            .replace("`", "")
            .replace("%", "%%")
        )
        words = setting.known_words
        symbol = setting.heading if len(setting.heading) == 1 else ""
        group.add_argument(
            setting.flag,
            dest=name,
            nargs="+",
            type=_VALUES[setting.kind],
            choices=words or None,
            default=[],
            metavar=None if words else symbol or _METAVARS[setting.kind],
            help=f"{meaning} Default: {_DEFAULTS.get(name, _GRID)}",
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
        "--actors",
        type=at_least(0),
        default=0,
        metavar="N",
        help="processes that share the work of a large stage; 0 for as many as there are CPUs or "
        "GPUs. Default: 0",
    )
    group.add_argument(
        "--min-actors",
        type=at_least(0),
        default=0,
        metavar="N",
        help="how many of them begin; more come while there is room. Default: 0, all at once",
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
        help="GPUs of a trial, an actor or a replica; fractions share one. Default: 0",
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
