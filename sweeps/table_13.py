"""Table 13 of Melas-Kyriazi et al. 2022: labelled pictures and samples together.

Labelled pictures alone, all samples, the samples nearest to the pictures, and either together with
the labelled ones. Without arguments: 50 embedded pictures with their masks, which are written to
results/table_13_pictures. The paper's form: --grid paper --labelled folder:PATH --nearest
PATH/images --nearest-features resnet50:FILE, with 1,000 training pictures of CUB.
"""

import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from gseg.commands.options import sweep_parser
from gseg.commands.run import sweep_main
from gseg.commands.scenes import write_scenes
from gseg.recipes.melas2022 import table_13
from gseg.recipes.tables import PAPER_TABLES

COUNT = 50
FIRST = 500_000
"""Of the scenes that are there to be trained on."""


def main() -> int:
    """Write labelled scenes unless other pictures are named, then run the sweep."""
    given = sys.argv[1:]
    options = sweep_parser(__doc__).parse(given)
    if options.labelled is None and options.grid != "paper":
        folder = options.results.absolute() / "table_13_pictures"
        if options.dry_run:
            with tempfile.TemporaryDirectory() as elsewhere:
                return run(options, given, Path(elsewhere) / folder.name)
        return run(options, given, folder)
    return run(options, given, None)


def run(options: Namespace, given: list[str], folder: Path | None) -> int:
    """Run the sweep, on labelled scenes if a folder for them is given."""
    if folder is not None:
        write_scenes(folder, range(FIRST, FIRST + COUNT))
        given += ["--labelled", f"folder:{folder}"]
        given += [] if options.labelled_count else ["--labelled-count", str(COUNT)]
        given += [] if options.nearest else ["--nearest", str(folder / "images")]
    return sweep_main("table_13", table_13, __doc__, given, table=PAPER_TABLES["table_13"])


if __name__ == "__main__":
    sys.exit(main())
