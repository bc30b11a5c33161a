"""Options of ``gseg directions``; `gseg.commands.directions` does the work."""

import argparse
from pathlib import Path

from gseg.commands.app import Parser, place


def add_directions(commands: "argparse._SubParsersAction[Parser]") -> None:
    """Add the command ``gseg directions``.

    Args:
        commands: Of the command line.
    """
    parser = commands.add_parser(
        "directions",
        help="choose a segmenting direction",
        description="Find latent directions that part foreground from background.",
        allow_abbrev=False,
    )
    choose = parser.add_subparsers(title="commands", metavar="COMMAND", required=True).add_parser(
        "choose",
        help="choose a direction among candidates",
        description="Choose a segmenting direction among candidates (Voynov et al. 2021): two "
        "colour maps are fitted to what each one does to pictures. Writes the direction, a table "
        "of all candidates, and a figure. Learnt candidates that were interrupted go on.",
        allow_abbrev=False,
    )
    choose.set_defaults(run="directions:choose")
    choose.add_argument("generator", metavar="GENERATOR", help="catalogue name")
    choose.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of results")
    choose.add_argument(
        "--candidates",
        choices=("random", "learnt", "pca", "closed_form"),
        default="random",
        help="random unit vectors, directions that a network learns to tell apart (hours with "
        "large generators), components of activations, or factors of weights. Default: random",
    )
    choose.add_argument("--count", type=int, default=120, metavar="N", help="default: 120")
    choose.add_argument("--steps", type=int, metavar="N", help="updates of learnt candidates")
    choose.add_argument("--layer", default="", help="module whose activations pca takes")
    choose.add_argument(
        "--rule",
        choices=("voynov2021", "affine_ratio"),
        default="voynov2021",
        help="voynov2021: the most different maps among the 70 %% that explain best; affine_ratio: "
        "two maps explain most against one. Default: voynov2021",
    )
    choose.add_argument(
        "--epsilon", type=float, metavar="ε", help="length of the shift. Default: 5; embedded: 1"
    )
    choose.add_argument(
        "--pictures",
        type=int,
        metavar="N",
        help="pictures that maps are fitted to; 0 for fresh ones in each step. Default: 0; "
        "embedded: 32",
    )
    choose.add_argument("--seed", type=int, default=0, help="default: 0")
    choose.add_argument(
        "--weights", type=place, metavar="DIR", help="folder of published weights, or on S3"
    )
    choose.add_argument(
        "--device", choices=("cpu", "cuda"), default="cpu", help="where to compute. Default: cpu"
    )
