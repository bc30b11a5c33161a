"""The options of ``gseg segment``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gseg.commands.app import Parser
from gseg.commands.working import add_working

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def add_segment(commands: "Commands") -> None:
    """Add the command ``segment``."""
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
        "--strip",
        type=Path,
        metavar="FILE",
        help="also draw some of the pictures with their masks side by side, as a PNG file",
    )
    parser.add_argument(
        "--truth",
        type=Path,
        metavar="DIR",
        help="folder of true masks, named as the pictures: the strip goes from the best to the "
        "worst by IoU",
    )
    parser.add_argument(
        "--columns", type=int, default=8, metavar="N", help="pictures in the strip. Default: 8"
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
    add_working(parser)
