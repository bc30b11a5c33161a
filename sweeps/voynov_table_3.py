"""Table 3 of Voynov et al. 2021: BigGAN, trained with class labels, against BigBiGAN.

BigGAN and BigBiGAN without adaptation and filters, and E-BigBiGAN. Without arguments: the embedded
ones, three runs. The paper's form: --grid paper --embeddings FILE.npy, of ImageNet.
"""

import sys

from gseg.commands.adapted import adapted_main
from gseg.recipes.voynov2021 import voynov_table_3
from gseg.recipes.voynov_tables import VOYNOV_TABLES

if __name__ == "__main__":
    sys.exit(
        adapted_main(
            "voynov_table_3", voynov_table_3, __doc__, table=VOYNOV_TABLES["voynov_table_3"]
        )
    )
