"""Table 1 of Voynov et al. 2021, birds: latents from the prior, near embeddings, and on them.

Without arguments: the embedded BigBiGAN near 500 scenes, which its own encoder embeds, three runs.
The paper's form: --grid paper --embeddings FILE.npy, the embeddings of CUB's training pictures
(the official program's file, or what ``gseg embed`` writes); ten runs, scored on CUB.
"""

import sys

from gseg.commands.adapted import adapted_main
from gseg.recipes.voynov2021 import voynov_table_1
from gseg.recipes.voynov_tables import VOYNOV_TABLES

if __name__ == "__main__":
    sys.exit(
        adapted_main(
            "voynov_table_1",
            voynov_table_1,
            __doc__,
            table=VOYNOV_TABLES["voynov_table_1"],
            benchmarks=("cub",),
        )
    )
