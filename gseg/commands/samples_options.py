"""The options of ``gseg samples``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from gseg.commands.app import Parser, place
from gseg.commands.working import add_working

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]

_STORAGE: Final = "storage"


def add_samples(commands: "Commands") -> None:
    """Add the commands to those of ``gseg``.

    Args:
        commands: Where they go.
    """
    purpose = "Draw generated pictures with their masks, and look at them."
    parser = commands.add_parser(
        "samples",
        help="draw pictures with masks, and look at them",
        description=purpose,
        allow_abbrev=False,
    )
    inner = parser.add_subparsers(title="commands", metavar="draw | show | export", required=True)
    _add_draw(inner)
    _add_show(inner)
    _add_export(inner)


def _add_draw(commands: "Commands") -> None:
    from gseg.samples.config import PICTURE_FORMATS, FilterPreset, MaskKind

    parser = commands.add_parser(
        "draw",
        help="draw samples of a generator",
        description="Find the generator's direction, unless it is given, and draw pictures with "
        "masks until enough are accepted. What was interrupted goes on, a larger COUNT extends "
        "what is there, and a sweep with the same --storage uses it.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="samples:draw")
    add = parser.add_argument
    add("generator", metavar="GENERATOR", help="catalogue name, see gseg generators")
    add("--count", type=int, required=True, metavar="N", help="accepted samples")
    add(
        "--out",
        default=_STORAGE,
        metavar="DIR",
        help="storage, a folder or s3://BUCKET/PREFIX; samples go to DIR/samples/<hash>. "
        "Default: ./storage",
    )
    add(
        "--direction",
        type=Path,
        metavar="FOLDER",
        help="folder of a direction, such as direction/<hash> of a storage. Default: search one",
    )
    add(
        "--epsilon",
        type=float,
        metavar="ε",
        help="length ε > 0 of the latent shift, in the search and for the masks. Default: 1",
    )
    add(
        "--mask-kind",
        choices=get_args(MaskKind),
        default="lighter",
        help="which pictures a mask is made from. Default: lighter",
    )
    add(
        "--filters",
        choices=get_args(FilterPreset),
        default="gseg",
        help="rules that decide which candidates are kept. Default: gseg",
    )
    add("--seed", type=int, default=0, metavar="SEED", help="trial seed, 0 or more. Default: 0")
    add(
        "--batch",
        type=int,
        metavar="B",
        help="candidates at once; part of what the samples are. Default: 64",
    )
    add(
        "--picture-format",
        choices=PICTURE_FORMATS,
        default="exact",
        help="how pictures are stored; jpeg95 changes them a little. Default: exact",
    )
    add("--weights", type=place, metavar="DIR", help="folder of published weights, or on S3")
    add_working(parser)


def _add_export(commands: "Commands") -> None:
    parser = commands.add_parser(
        "export",
        help="write the pictures of samples as files, for another program to label",
        description="Write the pictures of samples as PNG files. Masks that another program makes "
        "of them, under the same names, are what a labeller folder:PATH gives the samples.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="samples:export")
    add = parser.add_argument
    add("path", metavar="PATH", help="a folder of shards, such as samples/<hash> of a storage")
    add("--out", required=True, type=Path, metavar="DIR", help="folder of the pictures")


def _add_show(commands: "Commands") -> None:
    parser = commands.add_parser(
        "show",
        help="draw a contact sheet of samples",
        description="Draw a contact sheet: pictures with their masks, and, where the direction is "
        "in the same storage, shifted pictures and rejected candidates with the reason.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="samples:show")
    add = parser.add_argument
    add(
        "path",
        metavar="PATH",
        help="a shard, a folder of shards, or a storage, whose latest samples are shown",
    )
    add(
        "--out",
        type=Path,
        default=Path("samples.png"),
        metavar="FILE",
        help="PNG file of the sheet. Default: ./samples.png",
    )
    add("--rows", type=int, default=8, metavar="N", help="accepted samples to show. Default: 8")
    add(
        "--rejected",
        type=int,
        default=4,
        metavar="N",
        help="rejected candidates to show of each reason. Default: 4",
    )
    add("--tile", type=int, default=96, metavar="PX", help="side of a picture. Default: 96")
