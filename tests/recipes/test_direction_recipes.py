"""Chosen directions in recipes, options and plans of sweeps."""

from dataclasses import replace

import pandas as pd
import pytest
from parsed_options import parsed_options
from rich.console import Console

from gseg.commands.sweep import DirectionSweep
from gseg.directions.config import SearchConfig
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.plan import make_plan
from gseg.pipeline.trial import Context, run_trial
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans, both_papers
from gseg.recipes.recipe import recipes

EMBEDDED = grids()["embedded"]
AXES = {"generator": ("analytic.ellipses32",), "data_size": (10,), "seed": (0, 3)}


def _gans(experiments):
    return [each for each in experiments if each.method == "gan"]


def test_a_chosen_direction_brings_its_shift_and_takes_the_trial_s_seed():
    choice = replace(EMBEDDED.choice, epsilon=2.5)
    grid = replace(EMBEDDED, direction="affine_ratio", choice=choice)
    found = _gans(all_gans(grid, AXES))
    assert len(found) == 2
    for each, seed in zip(found, (0, 3), strict=True):
        assert each.search == replace(choice, rule="affine_ratio").with_seed(seed)
        assert each.samples.epsilon == 2.5
    (longer, _) = _gans(all_gans(grid, {**AXES, "epsilon": (4.0,)}))
    assert longer.search.epsilon == longer.samples.epsilon == 4


def test_a_weight_has_no_meaning_for_a_chosen_direction():
    with pytest.raises(ValueError, match=r"--contrast-weight 2\.0 .*leave one of the two out"):
        all_gans(replace(EMBEDDED, direction="voynov2021"), {**AXES, "contrast_weight": (2.0,)})


@pytest.mark.parametrize(
    ("direction", "rules"),
    [("optimised", ["voynov2021", "affine_ratio"]), ("affine_ratio", ["affine_ratio"])],
)
def test_both_papers_has_every_trial_in_all_ways_and_one_ceiling(direction, rules):
    found = both_papers(replace(EMBEDDED, direction=direction), AXES)
    assert {each.recipe for each in found} == {"both_papers"}
    gans = _gans(found)
    optimised, chosen = gans[:2], gans[2:]
    assert [type(each.search) for each in optimised] == [SearchConfig] * 2
    assert [each.search.rule for each in chosen] == [rule for rule in rules for _ in optimised]
    for number, each in enumerate(chosen):
        assert replace(each, search=None, method="otsu", training=None) == replace(
            optimised[number % 2], search=None, method="otsu", training=None
        )
    assert len(found) - len(gans) == 2  # one ceiling for each seed


def test_both_papers_takes_one_number_of_samples_and_no_distances():
    found = _gans(both_papers(EMBEDDED, {"generator": ("a.x", "b.x")}))
    assert len(found) == 6
    assert {each.data_size for each in found} == {EMBEDDED.table_size}
    assert {each.distance for each in found} == {None}


def test_options_choose_rule_and_candidates():
    def grid(*words):
        options = parsed_options(*words)
        return options.grids(options.varied())[0]

    assert grid().direction == "optimised"
    learnt = grid("--direction", "affine_ratio", "--candidates", "learnt")
    assert learnt.direction == "affine_ratio"
    assert learnt.choice.candidates.learnt == EMBEDDED.learnt
    assert grid("--candidates", "pca").choice.candidates.learnt is None
    paper = grid("--preset", "paper", "--direction", "voynov2021").choice
    assert (paper.candidates.kind, paper.candidates.count, paper.epsilon) == ("learnt", 120, 5)
    assert paper.candidates.learnt.steps == 100_000
    assert (paper.keep, paper.affine.steps, paper.affine.batch) == (0.7, 200, 4)


def test_a_plan_counts_candidates_that_rules_share_once(tmp_path):
    setting = Context(storage=tmp_path, benchmarks=("scenes:10",))
    trials = [
        each
        for rule in ("voynov2021", "affine_ratio")
        for each in _gans(all_gans(replace(EMBEDDED, direction=rule), {**AXES, "seed": (0,)}))
    ]
    plan = make_plan(trials, setting, "cpu")
    assert plan.stages["candidates"] == 1
    assert plan.stages["direction"] == 2
    learnt = replace(EMBEDDED.with_candidates("learnt"), direction="voynov2021")
    (trial,) = _gans(all_gans(learnt, {**AXES, "seed": (0,)}))
    alone = make_plan(trials[:1], setting, "cpu")
    assert make_plan([trial], setting, "cpu").seconds > alone.seconds


def test_a_recipe_of_directions_without_an_ending_leaves_a_row_for_each(tmp_path):
    words = ["--preset", "smoke", "--generators", "analytic.ellipses32", "--search-steps", "2"]
    words += ["--storage", str(tmp_path / "storage"), "--results", str(tmp_path / "results")]
    options, recipe = parsed_options(*words), replace(recipes()["table_9"], name="made_up")
    for grid in options.grids(options.varied()):
        for each in recipe.make(grid, options.varied()):
            run_trial(each, options.context(), LocalBackend())
    assert DirectionSweep(recipe, options, Console(quiet=True)).run() == 0
    (cosine,) = pd.read_parquet(tmp_path / "results" / "made_up")["cosine"]
    assert -1 <= cosine <= 1
