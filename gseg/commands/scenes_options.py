"""The options of ``gseg scenes``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gseg.commands.app import Parser

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def add_scenes(commands: "Commands") -> None:
    """Add the command ``scenes``."""
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
