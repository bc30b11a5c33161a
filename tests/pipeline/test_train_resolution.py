"""Samples shrunk for the training (Melas-Kyriazi et al. 2022, Table 15), through a whole trial."""

from dataclasses import replace

import pytest

from gseg.directions.config import SearchConfig
from gseg.pipeline.experiment import Context, Experiment, LabelledPairs
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.plan import make_plan
from gseg.pipeline.trial import find_parts, run_trial
from gseg.samples.config import SampleConfig, filter_preset
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter

WHOLE = Experiment(
    generator="analytic.ellipses16",
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
    data_size=12,
    validation_size=4,
    training=FitConfig(steps=2, batch=4, decay_at=None, width=4, depth=2),
)
SHRUNK = replace(WHOLE, train_resolution=8)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return Context(storage=tmp_path_factory.mktemp("storage"), benchmarks=("scenes:10",))


def test_the_network_sees_smaller_pictures_of_the_same_samples(setting):
    rows = {each: run_trial(each, setting, LocalBackend())[0] for each in (WHOLE, SHRUNK)}
    assert [row["train_resolution"] for row in rows.values()] == [16, 8]
    assert rows[SHRUNK]["resolution"] == 16
    assert rows[SHRUNK]["samples_reused"]
    assert not rows[SHRUNK]["training_reused"]
    parts = {each: find_parts(each, setting, "cpu").members[0] for each in rows}
    assert parts[WHOLE].samples.pairs.shards == parts[SHRUNK].samples.pairs.shards
    assert parts[WHOLE].segmenter.digest != parts[SHRUNK].segmenter.digest
    assert Segmenter.load(parts[SHRUNK].file).resolution == 8
    assert run_trial(SHRUNK, setting, LocalBackend())[0]["training_reused"]
    smaller = replace(SHRUNK, train_resolution=4)
    assert not run_trial(smaller, setting, LocalBackend())[0]["training_reused"]


def test_experiments_without_it_keep_their_name():
    assert replace(SHRUNK, train_resolution=None).digest == WHOLE.digest
    assert len({WHOLE.digest, SHRUNK.digest, replace(SHRUNK, train_resolution=4).digest}) == 3


def test_plans_refuse_to_enlarge_and_count_smaller_trainings(tmp_path):
    empty = Context(storage=tmp_path, benchmarks=("scenes:10",))
    whole, shrunk = (make_plan([each], empty, "cpu").seconds for each in (WHOLE, SHRUNK))
    assert shrunk < whole
    with pytest.raises(ValueError, match=r"16 px and can be shrunk, not enlarged.* got 32"):
        make_plan([replace(WHOLE, train_resolution=32)], empty, "cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_resolution": 0}, "train_resolution must be a whole number of at least 1, got 0"),
        (
            {"train_resolution": 8, "labelled": LabelledPairs(benchmark="b", count=1, side=16)},
            "Labelled pictures of 16 px cannot be trained on beside samples of 8 px",
        ),
        (
            {"train_resolution": 8, "method": "true_masks"},
            "shrinks generated pictures: leave it out with method 'true_masks'",
        ),
    ],
)
def test_wrong_values_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(WHOLE, **changes)
