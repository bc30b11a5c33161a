"""Recipes of Voynov et al. 2021 against what the paper prints."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gseg.directions.config import ChoiceConfig
from gseg.pipeline.row_values import identity_values
from gseg.recipes.grids import grids
from gseg.recipes.published.cells import published_tables
from gseg.recipes.recipe import recipes
from gseg.recipes.voynov2021 import (
    figure_5_trainings,
    voynov_figure_5,
    voynov_grid,
    voynov_table_1,
    voynov_table_1_flowers,
    voynov_table_2,
    voynov_table_3,
    voynov_table_4,
    voynov_table_5,
)
from gseg.samples.config import LabellerConfig
from gseg.samples.latents import near_embeddings

LABELLER = LabellerConfig(kind="function", place="mine.py:u2net", digest="0123456789")
RECIPES = {
    "voynov_table_1": voynov_table_1,
    "voynov_table_2": voynov_table_2,
    "voynov_table_3": voynov_table_3,
    "voynov_table_4": voynov_table_4,
    "voynov_table_5": lambda grid, axes: voynov_table_5(replace(grid, labeller=LABELLER), axes),
}


@pytest.fixture(params=["paper", "embedded"])
def grid(request, tmp_path):
    np.save(tmp_path / "embeddings.npy", np.zeros((4, 120), dtype=np.float32))
    found = grids()[request.param]
    latents = near_embeddings(tmp_path / "embeddings.npy")
    return replace(found, samples=replace(found.samples, latents=latents))


def printed(number):
    cells = published_tables()
    chosen = (cells["paper"] == "voynov2021") & (cells["table"] == number)
    chosen &= cells["statistic"] == "mean"
    methods = ("Voynov 2021", "masks of U²Net", "Voynov and Babenko 2020")
    return cells[chosen & cells["method"].isin(methods)].drop_duplicates("row").set_index("row")


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_row_of_the_paper_has_its_trials_with_the_printed_settings(grid, name):
    table = recipes()[name].table
    rows = printed(table.number)
    found = RECIPES[name](grid, {"seed": (0, 1)})
    labels = []
    for each in found:
        line = identity_values(each, "cpu")
        label = table.label(grid, line)
        labels.append(label)
        wanted = rows.loc[label]
        assert line["latent_source"] == wanted["latent_source"]
        if line["latent_source"] == "embeddings":
            assert line["alpha"] == wanted["alpha"]
        if pd.notna(wanted["filters"]) and grid.name == "paper":
            assert line["filters"] == wanted["filters"]
        if pd.notna(wanted["generator"]) and grid.name == "paper":
            assert each.generator == wanted["generator"]
    assert sorted(labels) == sorted(2 * list(rows.index))
    assert {each.recipe for each in found} == {name}


def test_the_paper_s_size_has_the_paper_s_numbers():
    made = voynov_grid(grids()["paper"])
    assert (made.direction, made.choice.epsilon, made.choice.keep) == ("voynov2021", 5.0, 0.7)
    assert (made.choice.candidates.kind, made.choice.candidates.count) == ("learnt", 120)
    affine = made.choice.affine
    assert (affine.steps, affine.batch, affine.learning_rate) == (200, 4, 0.005)
    assert (made.samples.epsilon, made.samples.mask_rule) == (5.0, "rgb_norm")
    filters = made.samples.filters
    assert (filters.max_share, filters.histogram, filters.component_share) == (0.5, "text", 0.2)
    training = made.training
    assert (training.steps, training.batch, training.decay_at) == (12_000, 95, 8_000)


def test_runs_share_the_direction_and_differ_in_the_rest(grid):
    first, second = voynov_table_2(grid, {"seed": (3, 4)})[::2]
    assert first.search.seed == first.search.candidates.seed == 0
    assert isinstance(first.search, ChoiceConfig)
    assert first.search == second.search
    assert first.samples.seed != second.samples.seed
    assert first.training.seed != second.training.seed


def test_on_flowers_masks_come_from_the_mean_and_may_be_large(grid):
    for each in voynov_table_1_flowers(grid, {}):
        assert each.mask_kind == "mean"
        assert each.samples.filters.max_share == 1.0
        assert each.samples.filters.component_share == 0.2


def test_the_labelled_trials_differ_in_nothing_else(grid):
    labelled, own = voynov_table_5(replace(grid, labeller=LABELLER), {})
    assert replace(labelled, labeller=None) == own
    assert identity_values(own, "cpu")["supervision"] == "none"
    assert identity_values(labelled, "cpu")["supervision"] == "another model's masks"
    assert own == replace(voynov_table_2(grid, {})[1], recipe="voynov_table_5")


def test_hyper_parameters_vary_one_at_a_time(grid):
    chosen = voynov_grid(grid).training
    names = ("batch", "learning_rate", "steps")
    trainings = figure_5_trainings(chosen)
    assert trainings[0] == chosen
    differences = [
        [name for name in names if getattr(each, name) != getattr(chosen, name)]
        for each in trainings[1:]
    ]
    assert sorted(differences) == sorted(2 * [[name] for name in names])
    for each in trainings:  # the rate falls after the same share of the steps
        assert each.decay_at / each.steps == pytest.approx(chosen.decay_at / chosen.steps, abs=0.01)
    assert len(voynov_figure_5(grid, {"seed": (0, 1)})) == 14


def test_without_embeddings_the_next_step_is_told():
    with pytest.raises(ValueError, match=r"--embeddings FILE\.npy"):
        voynov_table_4(grids()["paper"], {})


def test_the_weight_of_a_loss_has_no_place_here(grid):
    with pytest.raises(ValueError, match="leave λ out"):
        voynov_table_2(grid, {"contrast_weight": (5.0,)})
