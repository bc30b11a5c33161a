"""Table 1 of Voynov et al. 2021, Flowers: masks from the shifted picture's mean.

No filter on the masks' size (section 4.1). Without arguments: the embedded BigBiGAN near 500
scenes, three runs; their foreground is smaller than that of flowers, which the mean assumes. The
paper's form: --grid paper --embeddings FILE.npy, of the training pictures of Flowers.
"""

import sys

from gseg.commands.adapted import adapted_main
from gseg.recipes.voynov2021 import voynov_table_1_flowers
from gseg.recipes.voynov_tables import VOYNOV_TABLES

if __name__ == "__main__":
    sys.exit(
        adapted_main(
            "voynov_table_1_flowers",
            voynov_table_1_flowers,
            __doc__,
            table=VOYNOV_TABLES["voynov_table_1_flowers"],
            benchmarks=("flowers",),
        )
    )
