"""Figures 2 and 3 of Voynov et al. 2021: what two colour maps restore, and what the filters do.

The direction is the one of the tables (sweeps/voynov_table_4.py finds it in the same --storage, or
this script leaves it there). Writes results/voynov_figures/figure_2.png and figure_3.png. Without
arguments: the embedded BigBiGAN. The paper's form: --grid paper with BigBiGAN's weights.
"""

import sys

from rich.console import Console

from gseg.commands.direction_run import search_one
from gseg.commands.messages import plan_lines
from gseg.commands.options import chosen_axes, chosen_grids, sweep_parser
from gseg.directions.direction import Direction
from gseg.directions.operators import fit_operators
from gseg.generators.catalogue import load_generator, use_weights
from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.plan import make_plan
from gseg.pipeline.trial import Context
from gseg.recipes.voynov2021 import chosen_search, main_generator, voynov_grid
from gseg.reports.paper_figures import filters_sheet, operators_sheet

COUNT, ROWS, TILE = 8, 4, 96


def main() -> int:
    """Find the direction, then draw."""
    options = sweep_parser(__doc__).parse()
    use_weights(options.weights)
    grid = voynov_grid(chosen_grids(options)[0])
    name = options.generator[0] if options.generator else main_generator(grid)
    search = chosen_search(grid, chosen_axes(options))
    trial = DirectionTrial(generator=name, search=search)
    setting = Context(storage=options.storage.absolute())
    if options.dry_run:
        for line in plan_lines(make_plan([trial], setting, "cpu"), "cpu", None):
            print(line)
        return 0
    found = search_one(trial, setting=setting, device="cpu").artifact
    generator = load_generator(name)
    direction = fit_operators(generator, Direction.load(found.folder), search.epsilon)
    folder = options.results / "voynov_figures"
    operators_sheet(
        folder / "figure_2.png", generator, direction, search.epsilon, count=COUNT, tile=TILE
    )
    shown = filters_sheet(
        folder / "figure_3.png", generator, direction, grid.samples, rows=ROWS, tile=TILE
    )
    told = ", ".join(f"{number} of {reason}" for reason, number in shown.items())
    Console(highlight=False).print(f"figures: {folder} (examples: {told})", markup=False)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(str(error))
