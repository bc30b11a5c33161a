"""Table 14 and Figure 11 of Melas-Kyriazi et al. 2022: the number of samples.

From 100 to 1,000,000 samples at 20,000 steps of training; with embedded generators from 20 to 6,000
at 500 steps. Each set is the beginning of the next. The paper's form, BigBiGAN on five benchmarks:
--grid paper.
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.melas2022 import table_14
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_14", table_14, __doc__, table=PAPER_TABLES["table_14"]))
