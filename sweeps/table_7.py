"""Table 7 of Melas-Kyriazi et al. 2022: the weight λ of the contrast loss.

λ of twice, once, half and a quarter of the usual 5, masks from both directions. Without arguments:
two embedded generators. The paper's form, BigBiGAN on five benchmarks: --grid paper.
"""

import sys

from gseg.recipes import table_7
from gseg.recipes.paper_tables import PAPER_TABLES
from gseg.sweep_command import sweep_main

if __name__ == "__main__":
    sys.exit(sweep_main("table_7", table_7, __doc__, table=PAPER_TABLES["table_7"]))
