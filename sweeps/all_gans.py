"""The main job: segmenters from every generator (Melas-Kyriazi et al. 2022, Table 2, Figure 4)."""

import sys

from gseg.commands.app import run
from gseg.commands.run import all_gans_app

if __name__ == "__main__":
    sys.exit(run(all_gans_app))
