"""Table 1 of Melas-Kyriazi et al. 2022: masks from both directions, on every benchmark.

BigBiGAN with the lighter and the darker direction together (Eq. 2). Without arguments: two embedded
generators on the embedded pictures, in about a minute. The paper's form: --grid paper with the
weights of BigBiGAN and the five benchmarks (--weights, --benchmarks-root).
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.melas2022 import table_1
from gseg.recipes.tables import PAPER_TABLES

if __name__ == "__main__":
    sys.exit(sweep_main("table_1", table_1, __doc__, table=PAPER_TABLES["table_1"]))
