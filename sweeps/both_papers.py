"""Both papers in one table: the optimised direction against the chosen one, for every generator.

Runs each trial with the direction that minimises the losses of Melas-Kyriazi et al. 2022, and with
those that the rules of the choice take out of a set of candidates (--candidates): the rule of
Voynov et al. 2021, and the two-affine ratio (--direction for one of them alone). Prints how near
the two are, how far their masks agree, what either scores, and the seconds that finding it took.
The lines go to results/both_papers_table, the rows of all trials to results/both_papers.
"""

import sys

import pandas as pd
from rich.console import Console
from rich.table import Table

from gseg.commands.options import (
    chosen_resources,
    sweep_parser,
)
from gseg.commands.run import chosen_trials, sweep_main
from gseg.pipeline.finished import compare_papers
from gseg.recipes.both_papers import both_papers
from gseg.storage.store import replacing

COLUMNS = {
    "rule": ("rule", ""),
    "seed": ("seed", "d"),
    "cosine": ("cosine", ".2f"),
    "mask_iou": ("masks: IoU", ".2f"),
    "mask_accuracy": ("accuracy", ".3f"),
    "affine_iou": ("Eq. 5: IoU", ".2f"),
    "each_iou": ("4.6: IoU", ".2f"),
    "iou_optimised": ("IoU optimised", ".3f"),
    "iou_chosen": ("chosen", ".3f"),
    "direction_seconds_optimised": ("seconds optimised", ".0f"),
    "direction_seconds_chosen": ("chosen", ".0f"),
}


def show(lines: pd.DataFrame) -> Table:
    """Lay the comparison out."""
    table = Table(title="optimised (Melas-Kyriazi 2022) and chosen (Voynov 2021) directions")
    table.add_column("generator", no_wrap=True)
    for heading, _ in COLUMNS.values():
        table.add_column(heading, justify="right")
    for line in lines.to_dict("records"):
        cells = [format(line[name], form) for name, (_, form) in COLUMNS.items()]
        table.add_row(line["generator"], *cells)
    return table


def main() -> int:
    """Run the sweep, then compare."""
    status = sweep_main("both_papers", both_papers, __doc__)
    options = sweep_parser(__doc__).parse()
    if status != 0 or options.dry_run:
        return status
    experiments, setting = chosen_trials(both_papers, options)
    device = chosen_resources(options).device
    lines = compare_papers(experiments, setting, device)
    with replacing(options.results / "both_papers_table" / "lines.parquet") as part:
        lines.to_parquet(part, index=False)
    Console(width=None if sys.stdout.isatty() else 160).print(show(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
