"""Section A.3 of Melas-Kyriazi et al. 2022: directions from ten random initialisations.

Prints mean and standard deviation of the cosines between all pairs; the rows are the pairs. The
seed decides the start and the latents of the search. Without arguments: the embedded BigBiGAN.
The paper's form, BigBiGAN: --grid paper with the published weights.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence

import pandas as pd
from rich.console import Console

from gseg.commands.direction_run import direction_main
from gseg.pipeline.direction_trial import Found, pair_rows
from gseg.recipes.directions import initialisations
from gseg.reports.paper_tables import pair_lines, pair_table


def show(found: Sequence[Found], options: Namespace, console: Console) -> pd.DataFrame:
    """Print the table."""
    pairs = pair_rows(found, options.device)
    console.print(pair_table(pair_lines(pairs)))
    return pairs


if __name__ == "__main__":
    sys.exit(direction_main("initialisations", initialisations, show, __doc__))
