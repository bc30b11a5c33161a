import dataclasses
from dataclasses import replace

import pytest

from gseg.directions.config import SearchConfig
from gseg.pipeline.experiment import MASK_KINDS, DistanceConfig, Experiment, LabelledPairs
from gseg.samples.config import SampleConfig
from gseg.scores.specs import RULES
from gseg.segmenters.config import FitConfig

LABELLED = LabelledPairs(benchmark="folder:birds", count=20, side=32)


def _experiment(**changes):
    settings = {
        "generator": "ggan.scenes32",
        "search": SearchConfig(),
        "samples": SampleConfig(),
        "data_size": 100,
        "training": FitConfig(),
    }
    return Experiment(**(settings | changes))


def _distilled(**changes):
    settings = {"rule": "mahalanobis", "data_size": 100, "training": FitConfig()}
    return Experiment(method="distilled", **(settings | changes))


def test_the_digest_is_the_same_on_every_machine():
    """Another digest would mean that finished rows are not recognised any more."""
    assert Experiment(method="otsu").digest == Experiment(method="otsu", recipe="x").digest
    assert Experiment(method="otsu").digest == "edfd5b5c559a11502079"


def test_the_digest_covers_what_decides_the_segmenter():
    one = _experiment()
    different = [
        _experiment(generator="sngan.scenes32"),
        _experiment(search=SearchConfig(contrast_weight=4.0)),
        _experiment(search=SearchConfig(seed=1)),
        _experiment(samples=SampleConfig(epsilon=2.0)),
        _experiment(mask_kind="darker"),
        _experiment(data_size=101),
        _experiment(validation_size=64),
        _experiment(training=FitConfig(seed=1)),
        Experiment(method="true_masks", data_size=100, training=FitConfig()),
        _experiment(labelled=LABELLED),
        _experiment(labelled=replace(LABELLED, weight=0.5)),
        _experiment(labelled=replace(LABELLED, seed=1)),
        Experiment(method="otsu"),
        Experiment(method="centre_disc"),
        *(_distilled(rule=rule) for rule in RULES),
        _distilled(data_size=101),
        _distilled(training=FitConfig(seed=1)),
    ]
    digests = [each.digest for each in [one, *different]]
    assert len(set(digests)) == len(digests)


def test_the_digest_leaves_out_names_and_the_distance():
    one = _experiment()
    other = replace(one, recipe="table 2", train_preset="mine", distance=DistanceConfig())
    assert one.digest == other.digest
    assert one != other


def test_ensembles_have_two_members():
    assert _experiment(mask_kind="ensemble").member_kinds == ("lighter", "darker")
    assert [
        _experiment(mask_kind=kind).member_kinds for kind in MASK_KINDS if kind != "ensemble"
    ] == [(kind,) for kind in MASK_KINDS if kind != "ensemble"]


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "ggan.scenes32 N=100"),
        ({"mask_kind": "both"}, "ggan.scenes32 N=100 both"),
        ({"method": "true_masks", "generator": ""}, "true masks N=100"),
        ({"labelled": LABELLED}, "ggan.scenes32 N=100 20 labelled"),
        (
            {"method": "distilled", "generator": "", "rule": "mahalanobis_grabcut"},
            "distilled Mahalanobis + GrabCut N=100",
        ),
    ],
)
def test_labels_for_people(changes, label):
    assert _experiment(**changes).label == label


def test_a_baseline_needs_nothing():
    assert Experiment(method="centre_disc").label == "centre disc"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data_size": 0}, "data size must be at least 1, got 0"),
        ({"data_size": -5}, "data_size must be a whole number of at least 0, got -5"),
        ({"method": "true_masks", "data_size": 0}, "data size must be at least 1, got 0"),
        ({"mask_kind": "brighter"}, "Unknown mask kind 'brighter'; did you mean 'lighter'"),
        ({"mask_kind": "bothh"}, "did you mean 'both'?"),
        ({"method": "gam"}, "Unknown method 'gam'; did you mean 'gan'. There are gan, true_masks"),
        ({"validation_size": -1}, "validation_size must be a whole number of at least 0, got -1"),
        ({"validation_size": 1.5}, "validation_size must be a whole number"),
        ({"method": "otsu", "labelled": LABELLED}, "'otsu' trains nothing"),
        ({"method": "distilled"}, "trains on a rule's masks, and no other method does: .* None"),
        ({"rule": "otsu"}, "no other method does: got method 'gan' with rule 'otsu'"),
        ({"method": "distilled", "rule": "otsy"}, "Unknown rule 'otsy'; did you mean 'otsu'"),
        ({"method": "distilled", "rule": "otsu", "data_size": 0}, "must be at least 1, got 0"),
        ({"method": "distilled", "rule": "otsu", "training": None}, "needs training settings"),
        ({"method": "distilled", "rule": "otsu", "labelled": LABELLED}, "needs no labels"),
        ({"method": "distilled", "rule": "otsu", "train_resolution": 16}, "leave it out"),
        ({"method": "true_masks", "labelled": LABELLED}, "a data_size of 0 and no weight, got 100"),
        (
            {"method": "true_masks", "data_size": 0, "labelled": replace(LABELLED, weight=0.5)},
            "no weight, got 0 and 0.5",
        ),
        ({"generator": ""}, "needs a generator, a search and samples"),
        ({"search": None}, "needs a generator, a search and samples"),
        ({"samples": None}, "needs a generator, a search and samples"),
        ({"training": None}, "'gan' needs training settings"),
        ({"method": "true_masks", "training": None}, "'true_masks' needs training settings"),
    ],
)
def test_incomplete_experiments_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _experiment(**changes)


def test_experiments_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        _experiment().data_size = 5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DistanceConfig(count=1), "count must be a whole number of at least 2, got 1"),
        (lambda: DistanceConfig(count=True), "count must be a whole number"),
        (lambda: DistanceConfig(seed=-1), "seed must be a whole number of at least 0, got -1"),
        (lambda: replace(LABELLED, benchmark=""), "Labelled pairs need a benchmark"),
        (lambda: replace(LABELLED, count=0), "count must be a whole number of at least 1, got 0"),
        (lambda: replace(LABELLED, side=0), "side must be a whole number of at least 1, got 0"),
        (lambda: replace(LABELLED, weight=1.0), "weight is a share .* got 1.0"),
    ],
)
def test_impossible_parts_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
