"""The options of ``gseg generators``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gseg.commands.app import Parser

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def add_generators(commands: "Commands") -> None:
    """Add the command ``generators``."""
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
