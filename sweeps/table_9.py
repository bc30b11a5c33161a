"""Table 9 of Melas-Kyriazi et al. 2022: the angle between the lighter and the darker direction.

v_l · v_d of BigBiGAN, SelfCondGAN, UncondGAN, ContraGAN and SAGAN; several --seeds give mean and
deviation. No samples are drawn and nothing is trained. Without arguments: the five embedded
generators in their place, in a minute. The paper's form: --grid paper with the published weights.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence

import pandas as pd
from rich.console import Console

from gseg.commands.direction_run import direction_main
from gseg.pipeline.direction_trial import Found, direction_rows
from gseg.recipes.directions import table_9
from gseg.reports.paper_tables import angle_lines, angle_table


def show(found: Sequence[Found], options: Namespace, console: Console) -> pd.DataFrame:
    """Print the table."""
    rows = direction_rows(found, options.device)
    console.print(angle_table(angle_lines(rows)))
    return rows


if __name__ == "__main__":
    sys.exit(direction_main("table_9", table_9, show, __doc__))
