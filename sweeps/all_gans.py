"""Segmenters from every generator (Melas-Kyriazi et al. 2022, Table 2 and Figure 4).

For each generator: find the latent direction that lightens the foreground, draw filtered samples
(picture, mask), train a U-Net on them, score it on labelled pictures; then relate the generators'
Fréchet distance to the scores. Without arguments: every generator that ships with gseg, two data
sizes, on this machine's CPUs, offline. A run that was interrupted goes on where it stopped.
"""

import sys

from gseg.commands.run import sweep_main
from gseg.recipes.melas2022 import all_gans

if __name__ == "__main__":
    sys.exit(sweep_main("all_gans", all_gans, __doc__))
