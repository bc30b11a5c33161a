"""The options of ``gseg embed``."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from gseg.commands.app import Parser
from gseg.commands.working import add_working

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[Parser]


def add_embed(commands: "Commands") -> None:
    """Add the command ``embed``."""
    parser = commands.add_parser(
        "embed",
        help="find the latents of pictures, for samples that resemble them",
        description="Find the latents of a folder of pictures with an encoder, for samples that "
        "resemble these pictures (Voynov et al. 2021, section 3.3). Each picture's middle square "
        "is resized to the encoder's size. What was interrupted goes on.",
        epilog="A function of your own takes pictures (N, 3, R, R), float32 in [-1, 1], and gives "
        "latents (N, latent_dim) of its generator.",
        allow_abbrev=False,
    )
    parser.set_defaults(run="embed:embed")
    add = parser.add_argument
    add(
        "pictures",
        metavar="PICTURES",
        help="folder of pictures, with everything below it, or scenes:COUNT for the first pictures "
        "that embedded generators are trained on",
    )
    add(
        "--encoder",
        required=True,
        metavar="NAME",
        help="generator whose encoder ships with gseg (bigbigan.scenes32-large), or a function: "
        "FILE.py:FUNCTION or MODULE:FUNCTION",
    )
    add(
        "--out",
        required=True,
        type=Path,
        metavar="FILE.npy",
        help="array of latents as the official program's files have it; FILE.parquet beside it "
        "names each latent's picture",
    )
    add(
        "--for",
        dest="generator",
        metavar="GENERATOR",
        help="generator whose latents these shall be; what does not fit it is an error",
    )
    add(
        "--size",
        type=int,
        metavar="R",
        help="side of the pictures that a function takes. Default: that of --for",
    )
    add(
        "--sampled",
        action="store_true",
        help="draw each latent from the distribution that a shipped encoder gives, instead of "
        "taking its mean: what a picture does not decide then varies as in the prior",
    )
    add(
        "--skip-bad",
        action="store_true",
        help="leave out files that cannot be read, and list them, instead of stopping",
    )
    add_working(parser)
