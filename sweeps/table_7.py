"""Table 7 of Melas-Kyriazi et al. 2022: the weight λ of the contrast loss.

λ of twice, once, half and a quarter of the usual 5, masks from both directions. Without arguments:
two embedded generators. The paper's form, BigBiGAN on five benchmarks: --grid paper.
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.melas2022 import table_7
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_7", table_7, __doc__, table=PAPER_TABLES["table_7"]))
