"""Table 12 of Melas-Kyriazi et al. 2022: StyleGAN2 trained on faces.

The embedded generators have no StyleGAN2: without arguments another one goes through the same
steps, and its numbers say nothing about StyleGAN2. The paper's form: --grid paper takes the
catalogue's StyleGAN2 of FFHQ, shifted by ε = 0.2, its samples shrunk to 256 px, on 1,000 pictures
of CelebAMask-HQ.
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.stylegan2 import table_12
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_12", table_12, __doc__, table=PAPER_TABLES["table_12"]))
