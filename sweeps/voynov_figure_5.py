"""Figure 5 of Voynov et al. 2021: hyper-parameters chosen on held-out synthetic pairs.

Batch, learning rate and steps of the segmenter, one at a time around the chosen ones: the score on
held-out generated pairs, which needs no labels, beside that on real benchmarks. The figure goes to
results/voynov_figure_5_figures. Without arguments: the embedded BigBiGAN, three runs. The paper's
form: --grid paper --embeddings FILE.npy.
"""

import sys

import pandas as pd

from gseg.commands.adapted import adapted_main
from gseg.commands.options import sweep_parser
from gseg.recipes.voynov2021 import voynov_figure_5
from gseg.reports.paper_figures import hyperparameter_figure

NAME = "voynov_figure_5"
BENCHMARKS = ("ecssd", "duts", "dut_omron")


def main() -> int:
    """Run the sweep, then draw the figure."""
    status = adapted_main(NAME, voynov_figure_5, __doc__, benchmarks=BENCHMARKS)
    options = sweep_parser(__doc__).parse()
    if status == 0 and not options.dry_run:
        rows = pd.read_parquet(options.results / NAME)
        path = options.results / f"{NAME}_figures" / "hyperparameters.png"
        hyperparameter_figure(path, rows)
        print(f"figure: {path}")
    return status


if __name__ == "__main__":
    sys.exit(main())
