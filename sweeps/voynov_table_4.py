"""Table 4 of Voynov et al. 2021: what each component of E-BigBiGAN adds.

Base, + embeddings, + size filter, + histogram, + connected components. Without arguments: the
embedded BigBiGAN near 5,000 scenes, three runs. The paper's form: --grid paper --embeddings
FILE.npy, of the training pictures of ImageNet.
"""

import sys

from gseg.commands.adapted import adapted_main
from gseg.recipes.voynov2021 import voynov_table_4
from gseg.recipes.voynov_tables import VOYNOV_TABLES

if __name__ == "__main__":
    sys.exit(
        adapted_main(
            "voynov_table_4", voynov_table_4, __doc__, table=VOYNOV_TABLES["voynov_table_4"]
        )
    )
