"""Figures 12 to 14 of Melas-Kyriazi et al. 2022: where the method fails.

Runs Table 1 (both directions), then draws the labelled pictures with the lowest IoU and, among 500
generated ones, those where segmenter and mask agree least (the paper's authors chose by eye), into
results/failure_cases_figures; which ones they are goes to results/failure_cases_worst. Without
arguments: two embedded generators. The paper's form: --grid paper.
"""

import sys

import pandas as pd

from gseg.commands.options import chosen_resources, sweep_parser
from gseg.commands.run import chosen_trials, sweep_main
from gseg.recipes.melas2022 import failure_cases
from gseg.recipes.tables import PAPER_TABLES
from gseg.reports.paper_figures import failure_cases as draw_cases
from gseg.storage.store import replacing

COUNT = 12
TABLE = PAPER_TABLES["table_1"]


def main() -> int:
    """Run the sweep, then look for the worst."""
    status = sweep_main("failure_cases", failure_cases, __doc__, table=TABLE)
    options = sweep_parser(__doc__).parse()
    if status != 0 or options.dry_run:
        return status
    experiments, setting = chosen_trials(failure_cases, options, TABLE)
    device, folder = chosen_resources(options).device, options.results / "failure_cases_figures"
    found = [draw_cases(folder, each, setting, device, COUNT) for each in experiments]
    with replacing(options.results / "failure_cases_worst" / "rows.parquet") as part:
        pd.concat(found).to_parquet(part, index=False)
    print(f"sheets of failure cases: {folder}")
    return status


if __name__ == "__main__":
    sys.exit(main())
