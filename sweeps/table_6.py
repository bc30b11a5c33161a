"""Table 6 of Melas-Kyriazi et al. 2022: which directions make the masks.

Lighter, darker, both (Eq. 2), and two networks together. Without arguments: two embedded
generators. The paper's form, BigBiGAN on five benchmarks: --grid paper.
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.melas2022 import table_6
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_6", table_6, __doc__, table=PAPER_TABLES["table_6"]))
