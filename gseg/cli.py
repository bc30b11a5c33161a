"""The command ``gseg``: every command by name; its code is imported when it runs."""

import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from cyclopts import App

from gseg.commands.app import make_app
from gseg.commands.app import run as run_app

# By name: where it is, below `gseg.commands`, and what ``gseg --help`` says of it.
_COMMANDS: Final = {
    "generators": ("generators:app", "List the catalogue, or fetch published weights."),
    "benchmarks": ("benchmarks:app", "List the published benchmarks, or check a folder of them."),
    "samples": ("samples:app", "Draw pictures with masks, and look at them."),
    "embed": ("embed:embed", "Find the latents of pictures, for samples that resemble them."),
    "directions": ("directions:app", "Choose a segmenting direction."),
    "segment": ("segment:segment", "Write masks for pictures."),
    "fid": ("fid:app", "Measure the Fréchet distance of pictures to a reference."),
    "curves": ("results:curves", "Draw the loss curves of trainings."),
    "scenes": ("scenes:scenes", "Write embedded pictures with their masks."),
    "choose": ("choose:choose_among", "Choose the best of finished trials, without labels."),
    "report": ("results:report", "Write a report of results."),
    "storage": ("storage:storage", "Show what lies in a storage; delete what no row needs."),
    "published": ("results:published", "Write the papers' numbers as Parquet."),
    "run": ("run:run_app", "Run recipes: the tables and figures of both papers, by name."),
    "search": ("search:app", "Search over settings, without labels."),
    "all-gans": ("run:all_gans_app", "The main job: segmenters from every generator."),
}


def gseg_app(first: str = "") -> App:
    """Make the command line.

    Args:
        first: Word of it.
    """
    app = make_app(
        "gseg",
        "Unsupervised foreground segmentation from pretrained GANs.",
        version=lambda: version("gseg"),
        version_flags=("--version",),
    )
    # cyclopts sorts by name; here they stand in the order of the work.
    for place, (name, (function, about)) in enumerate(_COMMANDS.items()):
        # What is said here would stand in place of what the command that runs says of itself.
        told = None if name == first else about
        app.command(f"gseg.commands.{function}", name=name, help=told, sort_key=place)
    app.register_install_completion_command(add_to_startup=False)
    return app


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        words: Of it; those of the process by default.

    Returns:
        Exit status, see `gseg.commands.app.run`.
    """
    given = sys.argv[1:] if words is None else words
    return run_app(gseg_app(next(iter(given), "")), words)


if __name__ == "__main__":
    sys.exit(main())
