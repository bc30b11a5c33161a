"""Recipes that end with a direction (Melas-Kyriazi et al. 2022, Table 9, A.3, Figures 3a and 5)."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from gseg.directions.config import SearchConfig
from gseg.directions.direction import Direction
from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.experiment import Context
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.plan import make_plan
from gseg.pipeline.row_values import Found, direction_rows, pair_rows
from gseg.pipeline.trial import trial_graph
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import initialisations, strip_epsilons, strips, table_9
from gseg.recipes.published.cells import published_tables
from gseg.reports.paper_tables import angle_lines, pair_lines
from gseg.storage.store import Store

PAPER, EMBEDDED = grids()["paper"], grids()["embedded"]
QUICK = SearchConfig(steps=3, batch=4)


def test_table_9_has_the_paper_s_five():
    found = table_9(PAPER, {})
    printed = published_tables().query("paper == 'melas2022' and table == '9'")
    assert [each.generator for each in found] == list(printed["generator"])
    assert {each.search for each in found} == {PAPER.search}
    names = [each.generator for each in table_9(EMBEDDED, {})]
    assert names == [
        f"{name}.scenes32-large"
        for name in ("bigbigan", "selfcondgan", "uncondgan", "contragan", "sagan")
    ]


def test_ten_initialisations_differ_in_their_seed_alone():
    found = initialisations(PAPER, {})
    assert [each.search.seed for each in found] == list(range(10))
    assert {each.generator for each in found} == {"bigbigan.imagenet128"}
    assert len({(each.search.contrast_weight, each.search.epsilon) for each in found}) == 1
    with pytest.raises(ValueError, match="2 initialisations or more, got 1"):
        initialisations(PAPER, {}, 1)


def test_strips_go_to_four_times_the_usual_shift():
    assert [strip_epsilons(each) for each in strips(PAPER, {})] == [(0, 2, 4, 8)] * 5
    assert [strip_epsilons(each) for each in strips(EMBEDDED, {})] == [(0, 1, 2, 4)] * 4


def search_one(trial, *, setting):
    node = trial_graph(trial, setting, "cpu").direction
    return Found(trial=trial, artifact=Workshop(Store(setting.storage), LocalBackend()).make(node))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Three searches of one generator and one of another."""
    trials = [
        DirectionTrial(generator=name, search=SearchConfig(steps=3, batch=4, seed=seed))
        for name, seed in (
            ("analytic.ellipses16", 0),
            ("analytic.ellipses16", 1),
            ("analytic.ellipses16", 2),
            ("analytic.ellipses8", 0),
        )
    ]
    setting = Context(storage=tmp_path_factory.mktemp("storage"))
    return [search_one(trial, setting=setting) for trial in trials]


def test_rows_hold_the_inner_product(found):
    rows = direction_rows(found, "cpu")
    assert list(rows["direction_seed"]) == [0, 1, 2, 0]
    for row, each in zip(rows.to_dict("records"), found, strict=True):
        direction = Direction.load(each.artifact.folder)
        assert row["cosine"] == pytest.approx(float(torch.dot(direction.lighter, direction.darker)))
        assert row["experiment"] == each.trial.digest
    lines = angle_lines(rows)
    assert list(lines["seeds"]) == [3, 1]
    assert lines["cosine"][0] == pytest.approx(rows["cosine"][:3].mean())
    assert lines["cosine_sd"][0] == pytest.approx(np.std(rows["cosine"][:3], ddof=1))
    assert lines["published"].isna().all()


def test_pairs_are_of_one_generator_and_setting(found):
    pairs = pair_rows(found, "cpu")
    assert list(zip(pairs["seed_a"], pairs["seed_b"], strict=True)) == [(0, 1), (0, 2), (1, 2)]
    vectors = [Direction.load(each.artifact.folder).darker for each in found[:3]]
    products = [float(a @ b) for a, b in itertools.combinations(vectors, 2)]
    assert list(pairs["darker"]) == pytest.approx(products)
    (line,) = pair_lines(pairs).to_dict("records")
    assert line["pairs"] == 3
    assert line["darker"] == pytest.approx(np.mean(products))
    assert line["darker_sd"] == pytest.approx(np.std(products, ddof=1))


def test_published_numbers_stand_beside_the_embedded_counterparts():
    rows = pd.DataFrame(
        {
            "generator": ["sagan.scenes32-large", "ggan.scenes32"],
            "contrast_weight": 5.0,
            "epsilon_search": 1.0,
            "cosine": [-0.5, -0.6],
        }
    )
    published = angle_lines(rows)["published"]
    assert published[0] == -0.4648
    assert pd.isna(published[1])
    pairs = rows.rename(columns={"cosine": "lighter"}).assign(darker=0.9)
    pairs["generator"] = "bigbigan.scenes32-large"
    (line,) = pair_lines(pairs).to_dict("records")
    assert (line["published"], line["published_sd"]) == (0.9866, 0.0044)


def test_a_search_that_is_there_is_not_made_again(found, tmp_path):
    trial = DirectionTrial(generator="analytic.ellipses8", search=QUICK, recipe="table_9")
    assert trial.digest == DirectionTrial(generator="analytic.ellipses8", search=QUICK).digest
    setting = Context(storage=tmp_path)
    assert make_plan([trial], setting, "cpu").stages == {"direction": 1}
    first = search_one(trial, setting=setting)
    assert not make_plan([trial], setting, "cpu").missing
    again = search_one(trial, setting=setting)
    assert not first.artifact.reused
    assert again.artifact.reused
