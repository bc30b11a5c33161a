"""Table 5 and section 4.5 of Voynov et al. 2021: masks of another model for the same pictures.

E-BigBiGAN with the masks of a supervised saliency model, and with its own; and how far the two
agree. Without arguments: the embedded BigBiGAN, labelled by the same network trained with the true
masks of scenes. The paper's form: --grid paper --embeddings FILE.npy --labeller
FILE.py:FUNCTION, a function of yours that calls U²-Net.
"""

import sys

import pandas as pd
from rich.console import Console

from gseg.commands.adapted import labelled_main
from gseg.commands.options import sweep_parser
from gseg.recipes.published import published_tables
from gseg.recipes.voynov2021 import voynov_table_5
from gseg.recipes.voynov_tables import VOYNOV_TABLES

NAME = "voynov_table_5"


def show(rows: pd.DataFrame) -> str:
    """Say how far the other model's masks agree with the synthetic ones (section 4.5)."""
    cells = published_tables().query("paper == 'voynov2021' and table == 'section 4.5'")
    printed = {line.metric: line.value for line in cells.itertuples()}
    labelled = rows[rows["labeller"].notna()].drop_duplicates("experiment")
    iou, accuracy = labelled["labeller_iou"].mean(), labelled["labeller_accuracy"].mean()
    return (
        f"the other model on synthetic masks: IoU {iou:.3f}, accuracy {accuracy:.3f} "
        f"(section 4.5: {printed['iou']:.3f} and {printed['accuracy']:.3f})"
    )


def main() -> int:
    """Run the sweep, then show the agreement."""
    status = labelled_main(NAME, voynov_table_5, __doc__, table=VOYNOV_TABLES[NAME])
    options, _ = sweep_parser(__doc__).parse_known_args()
    if status == 0 and not options.dry_run:
        Console(highlight=False).print(show(pd.read_parquet(options.results / NAME)), markup=False)
    return status


if __name__ == "__main__":
    sys.exit(main())
