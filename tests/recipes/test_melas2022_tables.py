"""The tables' experiments against what Melas-Kyriazi et al. 2022 print."""

from dataclasses import replace

import pytest

from gseg.pipeline.experiment import LabelledPairs, SelectionConfig
from gseg.recipes.generators import STAND_IN
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import (
    failure_cases,
    table_1,
    table_2,
    table_6,
    table_7,
    table_8,
    table_10,
    table_11,
    table_12,
    table_13,
    table_14,
    table_15,
)
from gseg.recipes.published.cells import published_tables

PAPER, EMBEDDED = grids()["paper"], grids()["embedded"]
TABLES = {
    "table_1": table_1,
    "table_2": table_2,
    "table_6": table_6,
    "table_7": table_7,
    "table_8": table_8,
    "table_10": table_10,
    "table_12": table_12,
    "table_14": table_14,
    "failure_cases": failure_cases,
}


def _printed(table, column):
    cells = published_tables().query("paper == 'melas2022' and table == @table")
    return list(dict.fromkeys(cells[column].dropna()))


def _values(experiments, look):
    return list(dict.fromkeys(map(look, experiments)))


@pytest.mark.parametrize("name", TABLES)
def test_what_all_tables_have_in_common(name):
    """Sections 4.1 and A.1: λ = 5, ε = 2, 1,000 steps at 0.05; 1,000,000 samples; 12,000 steps."""
    for each in TABLES[name](PAPER, {}):
        assert each.recipe == name
        assert (each.search.steps, each.search.learning_rate) == (1_000, 0.05)
        assert each.search.batch == 32
        if name != "table_7":
            assert each.search.contrast_weight == 5
        if name not in ("table_8", "table_12"):
            assert each.search.epsilon == each.samples.epsilon == 2
        if name != "table_14":
            assert each.data_size == 1_000_000
            assert (each.training.steps, each.training.batch) == (12_000, 95)
        if name not in ("table_2", "table_12"):
            assert each.generator == "bigbigan.imagenet128"


@pytest.mark.parametrize("name", TABLES)
def test_the_embedded_form_needs_nothing_else(name):
    found = TABLES[name](EMBEDDED, {})
    assert found
    assert all(".scenes32" in each.generator for each in found)
    assert len({each.digest for each in found}) == len(found)
    assert all(each.train_preset.startswith("embedded") for each in found)


@pytest.mark.parametrize("name", TABLES)
def test_whatever_is_asked_for_takes_the_place_of_the_table_s_values(name):
    axes = {"generator": ("analytic.ellipses32",), "data_size": (30,), "seed": (4, 5)}
    found = TABLES[name](EMBEDDED, axes)
    assert {each.generator for each in found} == {"analytic.ellipses32"}
    assert {each.data_size for each in found} == {30}
    assert {each.training.seed for each in found} == {4, 5}


def test_table_1_and_6_masks():
    assert [each.mask_kind for each in table_1(PAPER, {})] == ["both"]
    assert [each.mask_kind for each in table_6(PAPER, {})] == _printed("6", "mask_kind")
    assert {each.mask_kind for each in failure_cases(PAPER, {})} == {"both"}


def test_table_2_has_the_paper_s_twelve_with_the_lighter_direction_alone():
    found = table_2(PAPER, {})
    assert [each.generator for each in found] == _printed("2", "generator")
    assert {each.mask_kind for each in found} == {"lighter"}
    assert len(found) == len(table_2(EMBEDDED, {})) == 12
    assert all(each.distance for each in table_2(EMBEDDED, {}))


def test_table_7_has_the_paper_s_weights_with_both_directions():
    found = table_7(PAPER, {})
    assert [each.search.contrast_weight for each in found] == _printed("7", "contrast_weight")
    assert {each.mask_kind for each in found} == {"both"}
    small = table_7(EMBEDDED, {"generator": ("ggan.scenes32",)})
    assert [each.search.contrast_weight for each in small] == [10, 5, 2.5, 1.25]


def test_table_8_shifts_masks_as_far_as_the_search_does():
    found = table_8(PAPER, {})
    assert [each.search.epsilon for each in found] == _printed("8", "epsilon")
    assert [each.samples.epsilon for each in found] == _printed("8", "epsilon")
    assert {each.mask_kind for each in found} == {"lighter"}
    small = table_8(EMBEDDED, {"generator": ("ggan.scenes32",)})
    assert [each.search.epsilon for each in small] == [0.5, 1, 2, 3]
    fixed = table_8(replace(PAPER, sample_epsilon=2.0), {})
    assert [each.search.epsilon for each in fixed] == [1, 2, 4, 6]
    assert {each.samples.epsilon for each in fixed} == {2}


def test_table_10_stands_beside_the_loss_with_the_prior():
    found = table_10(PAPER, {})
    assert [each.search.centre_prior for each in found] == [False, True]
    assert replace(found[0], search=found[1].search) == found[1]
    with pytest.raises(ValueError, match="about the loss of optimised directions"):
        table_10(replace(PAPER, direction="voynov2021"), {})


def test_table_11_shifts_stylegan2_by_a_fifth():
    mine = "own.py:flowers"
    found = table_11(PAPER, {"generator": (mine,)})
    assert [(each.generator, each.search.epsilon) for each in found] == [
        (mine, 0.2),
        ("bigbigan.imagenet128", 2.0),
    ]
    assert [each.samples.epsilon for each in found] == [0.2, 2.0]
    assert [each.generator for each in table_11(EMBEDDED, {})] == [
        STAND_IN,
        "bigbigan.scenes32-large",
    ]
    with pytest.raises(ValueError, match=r"no StyleGAN2 trained on Flowers.*FILE.py:FUNCTION"):
        table_11(PAPER, {})


def test_table_12_takes_faces_of_256_px():
    (found,) = table_12(PAPER, {})
    assert (found.generator, found.train_resolution) == ("stylegan2.ffhq1024", 256)
    assert found.search.epsilon == found.samples.epsilon == 0.2
    (small,) = table_12(EMBEDDED, {})
    assert (small.generator, small.train_resolution) == (STAND_IN, None)


def test_table_13_takes_the_grid_s_pictures_and_says_what_is_missing():
    with pytest.raises(ValueError, match="name both, --labelled folder:PATH --nearest PATH"):
        table_13(EMBEDDED, {})
    labelled = LabelledPairs(benchmark="folder:x", count=50, side=1)
    nearest = SelectionConfig(folder="x/images", candidates=7)
    grid = replace(EMBEDDED, labelled=labelled, selection=nearest)
    found = table_13(grid, {})
    assert [
        (
            each.data_size,
            each.labelled.count if each.labelled else 0,
            each.selection.candidates if each.selection else 0,
        )
        for each in found
    ] == [(0, 50, 0), (1_000, 0, 0), (50, 0, 1_000), (1_000, 50, 0), (50, 50, 1_000)]
    assert {each.labelled.side for each in found if each.labelled} == {32}


def test_table_14_trains_longer_on_the_paper_s_numbers_of_samples():
    found = table_14(PAPER, {})
    assert [each.data_size for each in found] == _printed("14", "data_size")
    assert {each.training.steps for each in found} == set(_printed("14", "train_steps"))
    assert {each.train_preset for each in found} == {"paper_long"}
    small = table_14(EMBEDDED, {"generator": ("ggan.scenes32",)})
    assert len(small) == len(found)
    ratios = {each.training.steps / EMBEDDED.training.steps for each in small}
    assert ratios == {20_000 / 12_000}


def test_table_15_shrinks_the_same_samples_to_half():
    shrunk, whole = table_15(EMBEDDED, {})
    assert (shrunk.train_resolution, whole.train_resolution) == (16, None)
    assert replace(shrunk, train_resolution=None) == whole
    larger, _ = table_15(EMBEDDED, {"generator": ("analytic.ellipses64",)})
    assert larger.train_resolution == 32
    with pytest.raises(ValueError, match="no StyleGAN2 trained on Flowers"):
        table_15(PAPER, {})
