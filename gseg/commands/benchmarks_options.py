"""The options of ``gseg benchmarks``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gseg.commands.app import Parser

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def add_benchmarks(commands: "Commands") -> None:
    """Add the command ``benchmarks``."""
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
