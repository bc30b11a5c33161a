"""The command ``gseg``: list and fetch generators, segment pictures, write scenes as files.

A command's code is imported when the command runs, so that ``--help`` is there at once.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from gseg.commands.directions_options import add_directions
from gseg.commands.fid_options import add_fid
from gseg.commands.samples_options import add_samples
from gseg.parsing import WRONG_USE, Parser

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]

Command = Callable[[argparse.Namespace, Console], int]
_INTERRUPTED: Final = 130
_PIPED_WIDTH: Final = 120


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Its words; those of the process by default.

    Returns:
        Exit status: 0 for success, 1 if some pictures could not be read, 2 for wrong use.
    """
    parser = _parser()
    options = parser.parse(arguments)
    if "run" not in options:
        parser.print_help()
        return WRONG_USE
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    console = Console(highlight=False, soft_wrap=True, width=width)
    try:
        return _command(options.run)(options, console)
    except ValueError as error:
        return _complain(str(error), WRONG_USE)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _complain(f"{error.strerror or error}{where}", WRONG_USE)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command starts it again.", _INTERRUPTED)


def _command(place: str) -> Command:
    module, _, function = place.partition(":")
    command: Command = getattr(importlib.import_module(f"gseg.commands.{module}"), function)
    return command


def _complain(message: str, status: int) -> int:
    error = Console(stderr=True, highlight=False, soft_wrap=True)
    error.print(f"gseg: {message}", markup=False)
    return status


def _parser() -> Parser:
    parser = Parser(
        prog="gseg",
        description="Unsupervised foreground segmentation from pretrained GANs.",
        epilog="Sweeps are scripts of their own, such as: python sweeps/all_gans.py --help",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_generators(commands)
    _add_benchmarks(commands)
    add_samples(commands)
    add_directions(commands)
    _add_segment(commands)
    add_fid(commands)
    _add_curves(commands)
    _add_scenes(commands)
    _add_report(commands)
    _add_published(commands)
    return parser


def _add_generators(commands: "Commands") -> None:
    purpose = "List the generators of the catalogue, or fetch the weights of a published one."
    weights = "folder of published weights; the environment variable GSEG_WEIGHTS without it"
    parser = commands.add_parser(
        "generators", help="list the catalogue", description=purpose, allow_abbrev=False
    )
    parser.set_defaults(run="generators:show")
    parser.add_argument(
        "--kind",
        choices=("all", "embedded", "snapshots", "published"),
        default="all",
        help="embedded generators ship with gseg, published ones need their weights. Default: all",
    )
    parser.add_argument("--weights", type=Path, metavar="DIR", help=weights)
    fetch = parser.add_subparsers(title="commands", metavar="fetch").add_parser(
        "fetch",
        help="download the weights of a published generator",
        description="Download the weights of a published generator; an interrupted download goes "
        "on where it stopped. Where there is no direct address, say how to get the file by hand.",
        allow_abbrev=False,
    )
    fetch.set_defaults(run="generators:fetch")
    fetch.add_argument("name", metavar="NAME", help="catalogue name, such as stylegan2.ffhq1024")
    # Without a default of its own, --weights may also stand before the word fetch.
    fetch.add_argument(
        "--weights", type=Path, metavar="DIR", default=argparse.SUPPRESS, help=weights
    )


def _add_benchmarks(commands: "Commands") -> None:
    root = "folder of benchmarks; the environment variable GSEG_BENCHMARKS without it"
    parser = commands.add_parser(
        "benchmarks",
        help="list the published benchmarks, or check a folder of them",
        description="List the published benchmarks: how many pictures, where to get them, and "
        "which are in the folder of benchmarks.",
        epilog="docs/benchmarks.md shows where each data set's files belong.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="benchmarks:show")
    parser.add_argument("--root", type=Path, metavar="DIR", help=root)
    check = parser.add_subparsers(title="commands", metavar="verify").add_parser(
        "verify",
        help="read every file of the benchmarks in a folder",
        description="Read every picture and mask of the benchmarks in a folder, compare their "
        "number with the published one, and count masks without foreground.",
        epilog="Exit status 1 if a data set is not complete or a file is bad.",
        allow_abbrev=False,
    )
    check.set_defaults(run="benchmarks:check")
    check.add_argument("root", type=Path, metavar="ROOT", help="folder of the benchmarks")
    check.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="data sets to check, such as cub or ecssd+subset. Default: all that are there",
    )


def _add_segment(commands: "Commands") -> None:
    parser = commands.add_parser(
        "segment",
        help="write masks for pictures",
        description="Write a PNG mask of the same size for each picture: white is foreground.",
        epilog="Exit status 1 if some of the files could not be read; the others have their masks.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="segment:segment")
    parser.add_argument(
        "images",
        nargs="+",
        type=Path,
        metavar="IMAGES",
        help="picture files, and folders, which are searched with everything below them",
    )
    parser.add_argument(
        "--model",
        action="append",
        type=Path,
        metavar="FILE",
        help="a segmenter: its .safetensors file, a folder segmenter/<hash> in a sweep's storage, "
        "or a .ckpt or .pth of the papers' programs; given several times, their mean. Default: "
        "scenes, a small one for trying, which was trained on generated pictures of 32 pixels",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="folder of the masks, made if missing; masks of the same names are replaced",
    )
    parser.add_argument(
        "--overlay",
        action="store_true",
        help="also write the pictures with the foreground tinted, to DIR/overlays",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.5,
        metavar="P",
        help="probability in [0, 1) above which a pixel is foreground. Default: 0.5",
    )
    parser.add_argument(
        "--size",
        type=int,
        metavar="N",
        help="shorter side in pixels at which the network sees a picture. Default: that of its "
        "training, if the file says so, or 128",
    )
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where to compute. Default: cpu"
    )


def _add_curves(commands: "Commands") -> None:
    parser = commands.add_parser(
        "curves",
        help="draw the loss curves of trainings",
        description="Draw losses and held-out scores of trainings, of unfinished ones as far as "
        "their last checkpoint.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="curves:draw")
    parser.add_argument(
        "path",
        type=Path,
        metavar="PATH",
        help="a sweep's storage, a folder segmenter/<hash> of it, or a file losses.parquet",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("losses.png"),
        metavar="FILE",
        help="picture to write. Default: losses.png",
    )


def _add_scenes(commands: "Commands") -> None:
    parser = commands.add_parser(
        "scenes",
        help="write embedded pictures with their masks",
        description="Write embedded pictures and their exact masks as PNG files to OUT/images and "
        "OUT/masks, a benchmark that sweeps take as --benchmark folder:OUT.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="scenes:write")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder, made if missing")
    parser.add_argument("--count", type=int, required=True, metavar="N", help="how many pictures")
    parser.add_argument(
        "--first",
        type=int,
        default=3_000_000,
        metavar="I",
        help="number of the first picture; those below 1,000,000 are for training. Default: "
        "3000000, the first that the benchmark 'scenes' scores on",
    )
    parser.add_argument(
        "--resolution", type=int, default=32, metavar="R", help="side in pixels. Default: 32"
    )


def _add_report(commands: "Commands") -> None:
    parser = commands.add_parser(
        "report",
        help="write a report of results",
        description="Write a page of charts, tables and pictures that needs no network, and the "
        "tables as CSV and Markdown.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="report:report")
    parser.add_argument(
        "results", type=Path, metavar="RESULTS", help="folder of rows, such as results/all_gans"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the report, made if missing. Default: RESULTS_report",
    )
    parser.add_argument(
        "--storage",
        type=Path,
        metavar="DIR",
        help="the sweep's storage: adds pictures of each generator's samples and predictions",
    )
    parser.add_argument(
        "--benchmark",
        nargs="+",
        default=[],
        metavar="NAME",
        help="where the sweep's folder benchmarks are (folder:PATH), for pictures of predictions; "
        "scenes need not be named",
    )


def _add_published(commands: "Commands") -> None:
    parser = commands.add_parser(
        "published",
        help="write the papers' numbers as Parquet",
        description="Write every number of both papers' results tables as one Parquet file.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="published:write")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/published"),
        metavar="DIR",
        help="folder of tables.parquet, made if missing. Default: results/published",
    )


if __name__ == "__main__":
    sys.exit(main())
