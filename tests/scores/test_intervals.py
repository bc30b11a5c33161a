"""gseg/scores/intervals.py: the bootstrap against drawing pictures again, one resample a time."""

import numpy as np
import pytest
import torch

from gseg.metrics.counts import pixel_histogram
from gseg.metrics.profiles import PROFILES, metric_profile
from gseg.metrics.sums import MetricSums
from gseg.scores.benchmarks import BenchmarkPart, ScenesBenchmark
from gseg.scores.intervals import INTERVALS, bootstrap_intervals
from gseg.scores.protocol import merge_scores, score

FIRST = 1_500_000
PICTURES = 30


def predict(images):
    return images.mean(1).add(1).div(2).clamp(0, 1)


@pytest.fixture(scope="module")
def scores():
    return score(predict, ScenesBenchmark(PICTURES, FIRST), profiles=list(PROFILES))


@pytest.mark.parametrize("name", PROFILES)
def test_limits_are_those_of_aggregates_drawn_again(scores, name):
    benchmark = ScenesBenchmark(PICTURES, FIRST)
    singles = []
    for index in range(PICTURES):
        example = benchmark[index]
        image = example.picture[None].float() / 127.5 - 1
        singles.append(pixel_histogram(predict(image), example.mask[None]))
    rng = np.random.default_rng(4)
    drawn = []
    for chosen in rng.integers(0, PICTURES, (40, PICTURES)):
        sums = MetricSums(profile=metric_profile(name))
        for index in chosen:
            sums.update(singles[index])
        drawn.append([getattr(sums.compute(), score) for score in INTERVALS])
    found = bootstrap_intervals(scores, resamples=40, seed=4)[name]
    for score_name, values in zip(INTERVALS, np.array(drawn).T, strict=True):
        low, high = np.quantile(values, [0.025, 0.975])
        assert found[score_name] == pytest.approx((low, high), abs=1e-6)
        assert low < high


def test_intervals_hold_the_score_and_shrink_with_more_pictures(scores):
    few = bootstrap_intervals(scores)["voynov2021"]
    many = bootstrap_intervals(
        score(predict, ScenesBenchmark(16 * PICTURES, FIRST), profiles=["voynov2021"])
    )["voynov2021"]
    means = scores.aggregates["voynov2021"]
    for name in INTERVALS:
        low, high = few[name]
        assert low < getattr(means, name) < high
        assert (many[name][1] - many[name][0]) / (high - low) == pytest.approx(0.25, abs=0.12)


def test_splits_over_workers_change_no_limit(scores):
    whole = ScenesBenchmark(PICTURES, FIRST)
    parts = [score(predict, BenchmarkPart(whole, p, 3), profiles=list(PROFILES)) for p in range(3)]
    assert bootstrap_intervals(merge_scores(parts)) == bootstrap_intervals(scores)


def test_an_undefined_iou_has_no_interval():
    class Empty:
        name, identity, working_size, skip_bad, bad = "empty", "empty", 8, False, ()
        crop, from_files = False, False

        def __len__(self):
            return 3

        def __getitem__(self, index):
            example = ScenesBenchmark(3, FIRST)[index]
            return type(example)(id="", picture=example.picture, mask=example.mask & (index > 0))

    nothing = score(lambda images: torch.zeros_like(images[:, 0]), Empty(), profiles=["voynov2021"])
    limits = bootstrap_intervals(nothing, resamples=10)["voynov2021"]
    assert np.isnan(limits["iou"]).all()
    assert not np.isnan(limits["accuracy"]).any()
    with pytest.raises(ValueError, match="resamples"):
        bootstrap_intervals(nothing, resamples=0)
