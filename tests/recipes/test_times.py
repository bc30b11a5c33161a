"""The time that a recipe claims for its embedded form is about what the plan says."""

from dataclasses import replace

import pytest

from gseg.commands.scenes import write_scenes
from gseg.generators.catalogue import list_generators
from gseg.pipeline.experiment import Context, LabelledPairs, SelectionConfig
from gseg.pipeline.plan import make_plan
from gseg.recipes.grids import grids
from gseg.recipes.recipe import recipes

CORES = 2
START = 0.3
"""Minutes until Ray and Tune have started."""


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_takes_about_the_time_that_it_says(name, tmp_path):
    recipe, grid, axes = recipes()[name], grids()["embedded"], {}
    if recipe.generators:
        axes["generator"] = tuple(card.name for card in list_generators("embedded"))
    if recipe.runs:
        axes["seed"] = tuple(range(recipe.runs["embedded"]))
    if name == "table_13":
        pictures = tmp_path / "pictures"
        write_scenes(pictures, range(500_000, 500_050))
        grid = replace(
            grid,
            labelled=LabelledPairs(benchmark=f"folder:{pictures}", count=50, side=1),
            selection=SelectionConfig(folder=str(pictures / "images"), candidates=20_000),
        )
    setting = Context(storage=tmp_path / "storage", benchmarks=("scenes",))
    plan = make_plan(recipe.trials(grid, axes), setting, "cpu")
    minutes = START + max(plan.seconds / CORES, *plan.estimates) / 60
    said = float(recipe.takes.removesuffix(" min"))
    assert minutes / 1.6 < said < minutes * 1.6 or (said == 1 and minutes < 1)
