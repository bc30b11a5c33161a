"""Trials that train the network on a rule's masks of scenes; `SegmenterNode` and `Pairs`."""

import json

import pytest
import torch

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.jobs.train import Pairs
from gseg.pipeline.plan import make_plan
from gseg.pipeline.trial import find_parts, find_rows, run_trial
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.scores.baselines import rule_masks
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import fit
from gseg.segmenters.segmenter import Segmenter

HERE = RayBackend(Resources(placement="process"))
TINY = FitConfig(steps=6, batch=8, width=4, depth=2, decay_at=None)


def trial(rule="mahalanobis_grabcut", **changes):
    settings = {"data_size": 24, "validation_size": 8, "training": TINY}
    return Experiment(method="distilled", rule=rule, **(settings | changes))


def weights(experiment, setting):
    file = find_parts(experiment, setting, "cpu").members[0].file
    return Segmenter.load(file).network.state_dict()


@pytest.mark.parametrize("rule", ["centre_disc", "mahalanobis_grabcut"])
def test_it_is_the_network_that_is_trained_on_the_rule_s_masks(rule, tmp_path):
    setting = Context(storage=tmp_path, benchmarks=("scenes:8",))
    (row, *_) = run_trial(trial(rule), setting, HERE)
    assert (row["method"], row["rule"], row["supervision"]) == ("distilled", rule, "none")
    assert (row["data_size"], row["train_resolution"], row["generator"]) == (24, 32, "")
    assert find_rows(trial(rule), setting, "cpu")[0]["scores"] == row["scores"]

    scenes = render(range(24))
    held_out = render(range(VALIDATION_FIRST, VALIDATION_FIRST + 8))
    masks = rule_masks(rule, scenes.pictures)
    expected = fit(
        scenes.pictures,
        masks,
        TINY,
        validation=(held_out.pictures, rule_masks(rule, held_out.pictures)),
    )
    for name, values in weights(trial(rule), setting).items():
        assert torch.equal(values, expected.segmenter.network.state_dict()[name]), name
    # No true mask is looked at, not even to measure.
    manifest = find_parts(trial(rule), setting, "cpu").members[0].segmenter.manifest
    assert json.loads(json.dumps(manifest))["facts"]["validation_iou"] == expected.validation_iou
    assert not torch.equal(masks, scenes.masks)


def test_rules_have_networks_of_their_own_and_true_masks_keep_theirs(tmp_path):
    setting = Context(storage=tmp_path, benchmarks=("scenes:8",))
    ceiling = Experiment(method="true_masks", data_size=24, validation_size=8, training=TINY)
    for each in (trial("otsu"), trial("mahalanobis"), ceiling):
        run_trial(each, setting, HERE)
    found = [weights(each, setting) for each in (trial("otsu"), trial("mahalanobis"), ceiling)]
    name = next(iter(found[0]))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not torch.equal(found[one][name], found[other][name])


def test_masks_are_those_of_the_scenes_that_are_asked_for():
    for first, count in ((0, 5), (3, 5), (0, 5)):
        pictures, masks = Pairs(count=count, first=first, rule="otsu").load()
        scenes = render(range(first, first + count))
        assert torch.equal(pictures, scenes.pictures)
        assert torch.equal(masks, rule_masks("otsu", scenes.pictures))


def test_a_plan_counts_the_time_that_a_chain_takes(tmp_path):
    setting = Context(storage=tmp_path, benchmarks=("scenes:8",))
    quick, chain = (
        make_plan([trial(rule, data_size=4_000)], setting, "cpu").seconds
        for rule in ("mahalanobis", "mahalanobis_grabcut")
    )
    assert 10 < chain - quick < 100
    slow = make_plan([Experiment(method="grabcut")], Context(storage=tmp_path), "cpu").seconds
    assert slow > make_plan([Experiment(method="otsu")], Context(storage=tmp_path), "cpu").seconds
