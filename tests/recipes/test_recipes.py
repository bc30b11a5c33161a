import itertools
from dataclasses import replace

import pytest

from gseg.pipeline.experiment import LabelledPairs, SelectionConfig
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans, table_13
from gseg.recipes.recipe import recipes
from gseg.recipes.trials import baselines

EMBEDDED = grids()["embedded"]


def _only(experiments, method="gan"):
    return [each for each in experiments if getattr(each, "method", "") == method]


def test_grids_hold_what_their_sources_state():
    paper = grids()["paper"]
    assert (paper.search.steps, paper.search.learning_rate) == (1000, 0.05)
    assert paper.search.contrast_weight == 5
    assert paper.search.objective == "melas2022_text"
    assert (paper.training.steps, paper.training.batch) == (12_000, 95)
    assert (paper.training.learning_rate, paper.training.decay_at) == (1e-3, 8_000)
    assert paper.data_sizes == (1_000_000,)
    assert EMBEDDED.search.objective == "gseg"
    assert len(EMBEDDED.data_sizes) == 2


def test_smoke_is_embedded_made_small():
    smoke = grids()["smoke"]
    assert smoke.search.steps < EMBEDDED.search.steps
    assert smoke.training.steps < EMBEDDED.training.steps
    assert max(smoke.data_sizes) < min(EMBEDDED.data_sizes)
    assert smoke.samples == EMBEDDED.samples


def test_empty_axes_keep_the_grid_s_values():
    found = all_gans(EMBEDDED, {"generator": ("a.x", "b.x")})
    gans = _only(found)
    assert {each.generator for each in gans} == {"a.x", "b.x"}
    assert {each.data_size for each in gans} == set(EMBEDDED.data_sizes)
    assert {each.search.contrast_weight for each in gans} == {EMBEDDED.search.contrast_weight}
    assert {each.search.epsilon for each in gans} == {EMBEDDED.search.epsilon}
    assert len(gans) == 4
    assert {each.mask_kind for each in found} == {"lighter"}


def test_every_combination_is_one_experiment():
    axes = {
        "generator": ("a.x", "b.x"),
        "contrast_weight": (2.0, 5.0),
        "epsilon": (0.5, 2.0),
        "data_size": (10, 20, 30),
        "mask_kind": ("lighter", "both"),
        "seed": (0, 7),
    }
    gans = _only(all_gans(EMBEDDED, axes))
    combinations = {
        (
            each.generator,
            each.search.contrast_weight,
            each.search.epsilon,
            each.data_size,
            each.mask_kind,
            each.search.seed,
        )
        for each in gans
    }
    axes_in_order = (
        ("a.x", "b.x"),
        (2.0, 5.0),
        (0.5, 2.0),
        (10, 20, 30),
        ("lighter", "both"),
        (0, 7),
    )
    assert combinations == set(itertools.product(*axes_in_order))
    assert len(gans) == len(combinations)
    for each in gans:
        assert each.samples.epsilon == each.search.epsilon
        assert each.samples.seed == each.search.seed == each.training.seed


def test_trials_that_share_a_stage_do_not_start_together():
    axes = {"generator": ("a.x", "b.x", "c.x"), "data_size": (10, 30, 20)}
    gans = _only(all_gans(EMBEDDED, axes))
    assert [each.data_size for each in gans] == [30] * 3 + [20] * 3 + [10] * 3
    assert [each.generator for each in gans] == ["a.x", "b.x", "c.x"] * 3


def test_each_size_and_seed_has_a_ceiling():
    axes = {
        "generator": ("a.x",),
        "data_size": (10, 20),
        "seed": (0, 1),
        "mask_kind": ("lighter", "both"),
    }
    ceilings = _only(all_gans(EMBEDDED, axes), "true_masks")
    assert [(each.data_size, each.training.seed) for each in ceilings] == [
        (20, 0),
        (20, 1),
        (10, 0),
        (10, 1),
    ]
    assert {each.generator for each in ceilings} == {""}


def test_values_given_twice_count_once():
    axes = {"generator": ("a.x", "a.x"), "data_size": (10, 10), "seed": (0, 0), "epsilon": (1, 1.0)}
    assert len(all_gans(EMBEDDED, axes)) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"contrast_weight": (0.0,)}, "contrast_weight must be a positive number, got 0"),
        ({"contrast_weight": (-1.0,)}, "contrast_weight must be a positive number, got -1"),
        ({"contrast_weight": (float("nan"),)}, "contrast_weight must be a positive number"),
        ({"epsilon": (0.0,)}, "epsilon must be a positive number, got 0"),
        ({"epsilon": (float("inf"),)}, "epsilon must be a positive number, got inf"),
        ({"data_size": (100, 0)}, "data size must be at least 1, got 0"),
        ({"seed": (-1,)}, "seed is 0 or more, got -1"),
        ({"mask_kind": ("brighter",)}, "Unknown mask kind 'brighter'"),
    ],
)
def test_values_out_of_range_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        all_gans(EMBEDDED, {"generator": ("a.x",), **values})


def test_baselines_learn_nothing():
    found = baselines("all_gans")
    assert [each.method for each in found] == ["otsu", "centre_disc", "grabcut"]
    assert {each.recipe for each in found} == {"all_gans"}
    assert not any(each.training or each.data_size for each in found)


def _distilled(name, axes, grid=EMBEDDED):
    return _only(recipes()[name].trials(grid, axes), "distilled")


def test_every_table_of_scenes_has_what_a_generator_has_to_beat():
    labelled = LabelledPairs(benchmark="folder:x", count=5, side=32)
    near = SelectionConfig(folder="x", candidates=20_000)
    for name, recipe in recipes().items():
        grid = replace(EMBEDDED, labelled=labelled, selection=near)
        grid = grid if name == "table_13" else EMBEDDED
        found = _distilled(name, {"generator": ("bigbigan.scenes32-large",)}, grid)
        assert bool(found) == (recipe.ends_with == "scores"), name
        assert {each.rule for each in found} == (set(recipe.rules) if found else set())
        assert all(each.recipe == name and not each.labelled for each in found)
    assert recipes()["all_gans"].rules == recipes()["table_2"].rules
    assert recipes()["table_2"].rules == ("mahalanobis_centred", "mahalanobis_centred_grabcut")
    assert recipes()["table_7"].rules == ("mahalanobis_centred_grabcut",)


def test_distilled_networks_see_as_many_scenes_as_the_largest_set_at_most_the_grid_s():
    axes = {"generator": ("a.x",), "seed": (0, 3)}
    found = _distilled("all_gans", axes)
    assert [(each.training.seed, each.rule) for each in found] == [
        (0, "mahalanobis_centred"),
        (0, "mahalanobis_centred_grabcut"),
        (3, "mahalanobis_centred"),
        (3, "mahalanobis_centred_grabcut"),
    ]
    assert {each.data_size for each in found} == {4_000}
    assert [replace(each.training, seed=0) for each in found] == 4 * [EMBEDDED.training]
    assert {each.data_size for each in _distilled("all_gans", axes | {"data_size": (9,)})} == {9}
    assert {each.data_size for each in _distilled("table_14", axes)} == {4_000}
    assert _distilled("all_gans", axes, grids()["paper"]) == []


def test_tables_share_distilled_networks():
    one, other = (_distilled(name, {})[0].digest for name in ("table_6", "voynov_table_1"))
    assert one == other
    assert {each.rule for each in _distilled("table_6", {"rule": ("otsu",)})} == {"otsu"}


def test_table_13_has_its_five_rows():
    grid = replace(grids()["paper"], search=replace(grids()["paper"].search, seed=0))
    labelled = LabelledPairs(benchmark="folder:cub", count=1_000, side=128, weight=0.25)
    nearest = SelectionConfig(folder="cub/images", candidates=1, features="resnet50:moco.pth")
    axes = {"generator": ("bigbigan.imagenet128",), "mask_kind": ("both",), "seed": (0, 1)}
    found = table_13(replace(grid, labelled=labelled, selection=nearest), axes)
    assert len(found) == 10
    rows = [
        (
            each.method,
            each.data_size,
            each.selection.candidates if each.selection else 0,
            each.labelled.weight if each.labelled else 0,
        )
        for each in found[:5]
    ]
    assert rows == [
        ("true_masks", 0, 0, None),
        ("gan", 1_000_000, 0, 0),
        ("gan", 50_000, 1_000_000, 0),
        ("gan", 1_000_000, 0, 0.25),
        ("gan", 50_000, 1_000_000, 0.25),
    ]
    assert {each.recipe for each in found} == {"table_13"}
    assert [each.labelled.seed for each in found if each.labelled] == [0, 0, 0, 1, 1, 1]
    assert len({each.digest for each in found}) == 10
    assert found[1].mask_kind == "both"
