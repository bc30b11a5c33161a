"""Table 15 of Melas-Kyriazi et al. 2022: samples at full size, and shrunk to half.

Without arguments an embedded generator's pictures of 32 px, and the same shrunk to 16 px with their
masks. No embedded generator makes larger ones; --generators analytic.ellipses64 does, of another
domain. The paper's form: --grid paper --generators FILE.py:FUNCTION, a function of yours that
returns a StyleGAN2 of Flowers of 256 px (none is in the catalogue).
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.stylegan2 import table_15
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_15", table_15, __doc__, table=PAPER_TABLES["table_15"]))
