"""Table 8 of Melas-Kyriazi et al. 2022: the length ε of the shift.

Half, once, twice and three times the usual ε, masks from the lighter direction: 1, 2, 4 and 6 in
the paper; 0.5, 1, 2 and 3 for the small embedded generators. The masks' shift follows the search's
unless --sample-epsilon fixes it. The paper's form, BigBiGAN on five benchmarks: --grid paper.
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.melas2022 import table_8
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_8", table_8, __doc__, table=PAPER_TABLES["table_8"]))
