from dataclasses import replace

import pytest

from gseg.recipes import grids
from gseg.search.base import Base
from gseg.search.knobs import KNOBS, effective, turned

_OTHER = {
    "generator": "analytic.ellipses20",
    "direction": "affine_ratio",
    "candidates": "pca",
    "contrast_weight": 2.5,
    "epsilon": 0.7,
    "epsilon_sample": 0.6,
    "search_steps": 7,
    "search_learning_rate": 0.01,
    "mask_kind": "both",
    "data_size": 77,
    "truncation": 0.5,
    "alpha": 0.3,
    "filters": "none",
    "min_share": 0.01,
    "max_share": 0.4,
    "component_share": 0.1,
    "min_contrast": 0.02,
    "min_roundness": 0.3,
    "train_learning_rate": 2e-3,
    "train_steps": 15,
    "train_batch": 8,
    "train_width": 4,
}


@pytest.fixture
def base():
    return Base(grid=grids()["smoke"], generator="analytic.ellipses32", data_size=100)


def _suitable(base, name):
    """Settings under which a knob means something."""
    if name == "candidates":
        return turned(base, {"direction": "affine_ratio"})
    return base


@pytest.mark.parametrize("name", [name for name in KNOBS if name != "alpha"])
def test_every_setting_is_read_as_it_was_turned_and_changes_the_experiment(base, name):
    base = _suitable(base, name)
    assert KNOBS[name].read(base) != _OTHER[name]
    other = turned(base, {name: _OTHER[name]})
    assert KNOBS[name].read(other) == _OTHER[name]
    before, after = (each.experiments((3,), "search")[0] for each in (base, other))
    assert before.digest != after.digest
    assert after.training.seed == 3
    assert after.recipe == "search"
    same = KNOBS[name].read(base)
    if same is not None:
        assert turned(base, {name: same}).experiments((3,), "x")[0].digest == before.digest


def test_noise_around_embeddings_means_nothing_without_embeddings(base):
    assert effective(base, {"alpha": 0.3}) == {}
    assert turned(base, {"alpha": 0.3}) == base


def test_every_setting_has_a_test_value():
    assert set(_OTHER) == set(KNOBS)


def test_one_epsilon_for_search_and_masks_or_one_for_the_masks_alone(base):
    (both,) = turned(base, {"epsilon": 0.7}).experiments((0,), "x")
    assert (both.search.epsilon, both.samples.epsilon) == (0.7, 0.7)
    (alone,) = turned(base, {"epsilon": 0.7, "epsilon_sample": 0.5}).experiments((0,), "x")
    assert (alone.search.epsilon, alone.samples.epsilon) == (0.7, 0.5)


def test_values_that_mean_nothing_are_left_out(base):
    point = {"contrast_weight": 2.0, "direction": "affine_ratio", "candidates": "pca"}
    assert effective(base, point) == {"direction": "affine_ratio", "candidates": "pca"}
    point = {**point, "direction": "optimised"}
    assert effective(base, point) == {"contrast_weight": 2.0, "direction": "optimised"}
    fixed = replace(base, contrast_weight=2.0)
    (chosen,) = turned(fixed, {"direction": "affine_ratio"}).experiments((0,), "x")
    assert chosen.search.rule == "affine_ratio"


def test_the_rate_decays_at_the_same_share_of_the_steps(base):
    assert (base.grid.training.steps, base.grid.training.decay_at) == (30, 20)
    changed = turned(base, {"train_steps": 60}).grid.training
    assert (changed.steps, changed.decay_at) == (60, 40)


def test_a_value_out_of_range_is_told(base):
    with pytest.raises(ValueError, match="epsilon must be a positive number, got -1"):
        turned(base, {"epsilon": -1.0}).experiments((0,), "x")
