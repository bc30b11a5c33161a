from dataclasses import replace
from pathlib import Path

import pytest

from gseg.directions.config import SearchConfig
from gseg.pipeline import costs
from gseg.pipeline.costs import (
    direction_seconds,
    draw_seconds,
    fit_seconds,
    generator_flops,
    sample_bytes,
    score_seconds,
)
from gseg.pipeline.experiment import Context, DistanceConfig, Experiment
from gseg.pipeline.plan import make_plan
from gseg.samples.config import SampleConfig
from gseg.segmenters.config import FitConfig

GENERATOR = "ggan.scenes32"


@pytest.fixture(autouse=True)
def _size(monkeypatch, request):
    """Every generator makes pictures at 60 MFLOP each."""
    if "generator_flops" not in request.node.name:
        monkeypatch.setattr(costs, "generator_flops", lambda name: 60_000_000)


def _gan(size=700, **changes):
    return replace(
        Experiment(
            generator=GENERATOR,
            search=SearchConfig(),
            samples=SampleConfig(),
            data_size=size,
            validation_size=70,
            training=FitConfig(steps=300, batch=32, width=16, depth=3),
        ),
        **changes,
    )


def _ceiling(size=700):
    return Experiment(method="true_masks", data_size=size, training=FitConfig(steps=300, width=16))


def _plan(*experiments):
    """Of an empty storage."""
    return make_plan(experiments, Context(storage=Path("nowhere")), "cpu")


def test_generator_flops_is_measured_once(monkeypatch):
    generator_flops.cache_clear()
    loaded = []
    load = costs.cached_generator
    monkeypatch.setattr(costs, "cached_generator", lambda *args: loaded.append(args) or load(*args))
    flops = generator_flops(GENERATOR)
    assert generator_flops(GENERATOR) == flops
    assert len(loaded) == 1
    assert 2e7 < flops < 2e8  # an architecture of 0.4 M parameters, most of them at 4 to 16 px


def test_generator_flops_of_a_conditional_generator():
    assert generator_flops("sngan.scenes32") > 0


def test_estimates_grow_with_the_work():
    assert draw_seconds(GENERATOR, 2000, "cpu") == 2 * draw_seconds(GENERATOR, 1000, "cpu")
    assert draw_seconds(GENERATOR, 1000, "cuda") < draw_seconds(GENERATOR, 1000, "cpu")
    assert direction_seconds(GENERATOR, 100, 32, "cpu") == pytest.approx(
        4 * direction_seconds(GENERATOR, 50, 16, "cpu")
    )
    config = FitConfig(steps=10, batch=4, width=8)
    seconds = fit_seconds(config, 32, "cpu")
    assert fit_seconds(replace(config, steps=30), 32, "cpu") == pytest.approx(3 * seconds)
    assert fit_seconds(config, 64, "cpu") == pytest.approx(4 * seconds)
    assert score_seconds(10, None, "cpu") == score_seconds(10, 128, "cpu")


def test_one_trial_has_all_stages():
    found = _plan(_gan(distance=DistanceConfig()))
    assert found.stages == {
        "direction": 1,
        "samples": 2,  # for training and for validation
        "segmenter": 1,
        "statistics": 2,  # of the generator's pictures and of scenes
        "distance": 1,
        "scores": 1,
    }
    assert found.naive_stages == 8
    assert found.seconds == found.estimates[0] > found.largest > 0


def test_baselines_and_ceilings_have_fewer():
    assert _plan(_ceiling()).stages == {"segmenter": 1, "scores": 1}
    assert _plan(Experiment(method="otsu")).stages == {"scores": 1}


def test_data_sizes_share_direction_and_samples():
    large, small = _gan(7000), _gan(700)
    both = _plan(large, small)
    assert both.stages == {"direction": 1, "samples": 2, "segmenter": 2, "scores": 2}
    assert both.naive_stages == 10
    assert both.disk_bytes == _plan(large).disk_bytes
    fit, score = fit_seconds(small.training, 32, "cpu"), score_seconds(1000, 32, "cpu")
    assert both.estimates[1] == pytest.approx(fit + score)


def test_the_order_of_sizes_does_not_change_the_sum():
    large, small = _gan(7000), _gan(700)
    one, other = _plan(large, small), _plan(small, large)
    assert one.seconds == pytest.approx(other.seconds)
    assert one.disk_bytes == other.disk_bytes
    assert one.stages == other.stages


def test_mask_kinds_share_the_direction_only():
    found = _plan(_gan(), _gan(mask_kind="darker"), _gan(mask_kind="ensemble"))
    assert found.stages["direction"] == 1
    assert found.stages["samples"] == 4
    assert found.stages["scores"] == 3


def test_an_ensemble_trains_two_networks():
    assert _plan(_gan(mask_kind="ensemble")).stages["segmenter"] == 2


def test_settings_that_differ_share_nothing():
    other = _gan(search=SearchConfig(contrast_weight=2.0))
    assert _plan(_gan(), other).stages["direction"] == 2
    assert _plan(_gan(), other).stages["samples"] == 4


def test_the_distance_is_of_the_generator():
    distance = DistanceConfig(count=500)
    both = _plan(_gan(distance=distance), _gan(70, distance=distance))
    assert both.stages["distance"] == 1


def test_disk_space_is_that_of_pictures_and_masks():
    assert sample_bytes(32) == 3 * 32**2 + 32**2 // 8 + 64
    assert _plan(_gan()).disk_bytes == (700 + 70) * sample_bytes(32)
    assert _plan(_ceiling()).disk_bytes == 0


def test_nothing_to_do():
    found = _plan()
    assert (found.seconds, found.largest, found.stages, found.disk_bytes) == (0, 0, {}, 0)
