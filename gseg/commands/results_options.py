"""The options of the commands that show results: ``gseg curves``, ``report`` and ``published``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gseg.commands.app import Parser

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def add_curves(commands: "Commands") -> None:
    """Add the command ``curves``."""
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


def add_report(commands: "Commands") -> None:
    """Add the command ``report``."""
    parser = commands.add_parser(
        "report",
        help="write a report of results",
        description="Write a page of charts, tables and pictures that needs no network, and the "
        "tables as CSV and Markdown; of a folder of several results, one for each and index.html.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="report:report")
    parser.add_argument(
        "results",
        type=Path,
        metavar="RESULTS",
        help="folder of rows, such as results/all_gans, or a folder of such folders",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the report, made if missing. Default: RESULTS_report; of several, RESULTS",
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


def add_published(commands: "Commands") -> None:
    """Add the command ``published``."""
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
