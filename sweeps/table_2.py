"""Table 2 and Figure 4 of Melas-Kyriazi et al. 2022: twelve generators under one setting.

The lighter direction alone, and the generators' Fréchet distance against the scores. Without
arguments: the twelve embedded generators, in minutes; all_gans.py runs them at several data sizes.
The paper's form: --grid paper with the published weights and the five benchmarks.
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.melas2022 import table_2
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_2", table_2, __doc__, table=PAPER_TABLES["table_2"]))
