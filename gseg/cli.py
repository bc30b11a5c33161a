"""The command ``gseg``: list and fetch generators, segment pictures, write scenes as files.

A command's code is imported when the command runs, so that ``--help`` is there at once.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console

from gseg.commands.app import WRONG_USE, Parser
from gseg.commands.benchmarks_options import add_benchmarks
from gseg.commands.directions_options import add_directions
from gseg.commands.embed_options import add_embed
from gseg.commands.fid_options import add_fid
from gseg.commands.generators_options import add_generators
from gseg.commands.results_options import add_curves, add_published, add_report
from gseg.commands.samples_options import add_samples
from gseg.commands.scenes_options import add_scenes
from gseg.commands.segment_options import add_segment

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
    add_generators(commands)
    add_benchmarks(commands)
    add_samples(commands)
    add_embed(commands)
    add_directions(commands)
    add_segment(commands)
    add_fid(commands)
    add_curves(commands)
    add_scenes(commands)
    add_report(commands)
    add_published(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
