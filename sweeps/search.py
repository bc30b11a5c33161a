"""Search over settings: a grid, at random, or with Optuna, without labels.

Each point is tried as a sweep's trial is, and what is in the storage is reused. By default a point
is good if held-out generated pairs are learnt well and the shift divides the picture in two
(combined); other objectives with --objective, one or several. For example

    python sweeps/search.py --generators biggan.scenes32 --data-size 1000
        --space contrast_weight=log:1:20 epsilon=uniform:0.3:2 mask_kind=lighter,both --points 20

Running it again with more --points, or a wider --space, goes on from what is known. Results:
results/search_trials (a line for each point), results/search (rows), results/search_figures.
"""

import sys

from gseg.commands.search import search_main

if __name__ == "__main__":
    sys.exit(search_main(__doc__))
