"""Figures 3a and 5 of Melas-Kyriazi et al. 2022: pictures at growing lengths of the shift.

Strips of ε 0, 2, 4 and 8 along the lighter direction; half of it for the small embedded generators,
whose usual ε is 1 instead of 2. Draws results/strips_figures/strips.png, a row for each generator
(Figure 5), and a sheet with more latents for each (Figure 3a). Without arguments: four embedded
generators (none is a StyleGAN2). The paper's form: --grid paper with the published weights.
"""

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import pandas as pd
from rich.console import Console

from gseg.commands.direction_run import direction_main
from gseg.pipeline.direction_trial import Found, direction_rows
from gseg.recipes.directions import strip_epsilons, strips
from gseg.reports.paper_figures import strip_sheet

LATENTS = 6


def show(found: Sequence[Found], options: Namespace, console: Console) -> pd.DataFrame:
    """Draw the sheets, one of all generators for each ε of the search."""
    folder = options.results / "strips_figures"
    labels = Counter(each.trial.label for each in found)

    def name_of(each: Found) -> str:
        trial = each.trial
        return trial.label if labels[trial.label] == 1 else f"{trial.label}-{trial.digest[:6]}"

    def by(each: Found) -> tuple[float, ...]:
        return strip_epsilons(each.trial)

    for epsilons, group in groupby(sorted(found, key=by), by):
        searched = list(group)
        every = "strips.png" if len(searched) == len(found) else f"strips-{epsilons[1]:g}.png"
        sheets = {every: (searched, 1)}
        sheets |= {f"{name_of(each)}.png": ([each], LATENTS) for each in searched}
        for name, (chosen, count) in sheets.items():
            strip_sheet(folder / name, chosen, epsilons, count)
            console.print(f"figure: {folder / name}", markup=False)
    return direction_rows(found, options.device)


if __name__ == "__main__":
    sys.exit(direction_main("strips", strips, show, __doc__))
