"""The options of ``gseg fid``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gseg.commands.app import Parser
from gseg.commands.working import add_working

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def add_fid(commands: "Commands") -> None:
    """Add the command to those of ``gseg``.

    Args:
        commands: Where it goes.
    """
    parser = commands.add_parser(
        "fid",
        help="measure the Fréchet distance of pictures to a reference",
        description="Measure the Fréchet distance of a generator's or a folder's pictures to a "
        "reference, and the kernel distance (KID) beside it. Numbers compare only if their "
        "protocols are the same; the protocol is printed with the number.",
        epilog="Features are taken in parts and kept in the storage: what was interrupted goes on, "
        "and a reference is used again.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="fid:measure")
    parser.add_argument(
        "pictures",
        metavar="PICTURES",
        help="a generator's name, a folder of pictures, or a file of statistics (.npz)",
    )
    parser.add_argument(
        "--reference",
        default="scenes",
        metavar="REF",
        help="scenes, a folder of pictures, or a file of statistics (.npz, with mu and sigma, as "
        "pytorch-fid writes it). Default: scenes, the embedded training pictures",
    )
    parser.add_argument(
        "--features",
        default="scenes",
        metavar="NET",
        help="scenes; inception or inception-pytorch-fid, whose public weights are fetched, or are "
        "in FILE: inception:FILE; or resnet50:FILE. Default: scenes",
    )
    parser.add_argument(
        "--count",
        type=int,
        default=5_000,
        metavar="N",
        help="pictures of a generator, and of scenes. Default: 5000",
    )
    parser.add_argument(
        "--resolution",
        type=int,
        metavar="R",
        help="bring pictures of folders to this side, their middle square resized. Default: the "
        "generator's, or their own size if there is none",
    )
    _add_sampling(parser)
    _add_places(parser)


def _add_sampling(parser: Parser) -> None:
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of a generator's latents. Default: 0"
    )
    parser.add_argument(
        "--truncation", type=float, metavar="T", help="truncation of a generator. Default: none"
    )
    parser.add_argument(
        "--classes",
        type=int,
        nargs="+",
        default=[],
        metavar="Y",
        help="draw only these classes of a conditional generator. Default: all of them",
    )
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="FILE",
        help="draw latents near these (.npy, one in each row). Default: from the prior",
    )
    parser.add_argument(
        "--alpha", type=float, default=0.0, metavar="A", help="noise around them. Default: 0"
    )


def _add_places(parser: Parser) -> None:
    parser.add_argument(
        "--save",
        type=Path,
        metavar="FILE",
        help="write the statistics of PICTURES (.npz), a reference for later",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the distances and their protocols"
    )
    parser.add_argument(
        "--storage",
        default="storage",
        metavar="DIR",
        help="folder of features that were taken, or s3://bucket/prefix. Default: ./storage",
    )
    add_working(parser)
