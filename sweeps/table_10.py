"""Table 10 of Melas-Kyriazi et al. 2022: a loss without a prior for the centre.

The paper does not print this loss: docs/recipes.md says what is assumed. The same trials with the
prior stand beside it. The paper's form, BigBiGAN on five benchmarks: --grid paper.
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.melas2022 import table_10
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_10", table_10, __doc__, table=PAPER_TABLES["table_10"]))
