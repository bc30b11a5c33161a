"""Table 2 of Voynov et al. 2021: BigBiGAN and E-BigBiGAN on saliency benchmarks.

Without arguments: the embedded BigBiGAN near 5,000 scenes, three runs. The paper's form: --grid
paper --embeddings FILE.npy, of the training pictures of ImageNet; ten runs on ECSSD, DUTS and
DUT-OMRON.
"""

import sys

from gseg.commands.adapted import adapted_main
from gseg.recipes.voynov2021 import voynov_table_2
from gseg.recipes.voynov_tables import VOYNOV_TABLES

if __name__ == "__main__":
    sys.exit(
        adapted_main(
            "voynov_table_2", voynov_table_2, __doc__, table=VOYNOV_TABLES["voynov_table_2"]
        )
    )
