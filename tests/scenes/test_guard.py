"""No rule solves the scenes that ship; a network with true masks does: `benchmarks/guard.py`."""

import pytest

from benchmarks.guard import LEAST, MOST, network_rows, rule_rows
from gseg.recipes.recipe import BEST_CHAIN
from gseg.scenes.pictures import HELD_OUT_FIRST, render
from gseg.scores.baselines import rule_masks
from gseg.scores.specs import CHAINS, RULES


def too_good(rows):
    return {row["rule"]: row["iou_high"] for row in rows if row["iou_high"] > MOST[row["kind"]]}


def test_no_rule_solves_the_scenes():
    assert too_good(rule_rows([name for name in RULES if name not in CHAINS])) == {}


def test_nor_does_a_chain():
    assert too_good(rule_rows([BEST_CHAIN])) == {}


@pytest.mark.slow
def test_nor_does_any_other_chain():
    assert too_good(rule_rows([name for name in CHAINS if name != BEST_CHAIN])) == {}


def test_true_masks_do():
    [row] = network_rows()
    assert row["iou_low"] >= LEAST["true masks"]


def test_rows_tell_the_mean_over_pictures_and_keep_to_the_far_end():
    scenes = render(range(HELD_OUT_FIRST, HELD_OUT_FIRST + 40))
    names = ["otsu", "mahalanobis", BEST_CHAIN]
    for name, row in zip(names, rule_rows(names, count=40), strict=True):
        mask = rule_masks(name, scenes.pictures)
        both, either = (mask & scenes.masks).sum((1, 2)), (mask | scenes.masks).sum((1, 2))
        assert row["iou"] == pytest.approx((both / either).mean().item())
        assert row["iou_low"] < row["iou"] < row["iou_high"]
        assert row["kind"] == ("chain" if name == BEST_CHAIN else "rule")
        assert row["passes"] == (row["iou_high"] <= (0.75 if name == BEST_CHAIN else 0.65))


def test_networks_are_trained_on_true_masks_and_on_those_of_rules():
    rows = list(network_rows(["centre_disc"], steps=60, trained_on=200, count=100))
    assert [(row["kind"], row["rule"]) for row in rows] == [
        ("true masks", None),
        ("distilled", "centre_disc"),
    ]
    # A disc wherever the object is: the network learns the disc.
    [disc] = rule_rows(["centre_disc"], count=100)
    assert rows[1]["iou"] == pytest.approx(disc["iou"], abs=0.05)
    assert rows[1]["passes"] is None
    assert rows[0]["steps"] == 60
