"""Table 11 of Melas-Kyriazi et al. 2022: StyleGAN2 trained on Flowers.

The embedded generators have no StyleGAN2: without arguments another one goes through the same
steps, and its numbers say nothing about StyleGAN2. The paper's form: --grid paper --generators
FILE.py:FUNCTION, a function of yours that returns a StyleGAN2 of Flowers (none is in the
catalogue); it is shifted by ε = 0.2, scored on Flowers, and BigBiGAN beside it.
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.stylegan2 import table_11
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_11", table_11, __doc__, table=PAPER_TABLES["table_11"]))
