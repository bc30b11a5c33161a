"""The profile `sod` against numbers of the public toolbox, PySODMetrics 1.6.2.

`tests/data/metrics/sod.npz` holds maps, masks and what the toolbox gives for each of them. Where
the toolbox itself can be imported (`pip install --no-deps pysodmetrics` and its dependencies), it
is asked again, for fresh maps.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from gseg.metrics.counts import pixel_histogram
from gseg.metrics.profiles import metric_profile
from gseg.metrics.sums import MetricSums, score_images

FILE = Path(__file__).parents[1] / "data" / "metrics" / "sod.npz"
EXACT = {"rtol": 0, "atol": 1e-12}
SOD = metric_profile("sod")


@pytest.fixture(scope="module")
def facts():
    with np.load(FILE) as file:
        return {name: file[name] for name in file.files}


def histogram_of(maps, masks):
    probability = torch.from_numpy(maps.astype(np.float32)) / 255
    return pixel_histogram(probability, torch.from_numpy(masks))


def test_scores_of_each_picture_are_the_toolbox_s(facts):
    scores = score_images(histogram_of(facts["maps"], facts["masks"]), SOD)
    for name in ("mae", "accuracy", "iou", "f_beta"):
        np.testing.assert_allclose(getattr(scores, name), facts[name], err_msg=name, **EXACT)
    for name in ("precision", "recall", "curve"):
        # The toolbox goes from the highest threshold down.
        want = facts[name][:, ::-1]
        np.testing.assert_allclose(getattr(scores, name), want, err_msg=name, **EXACT)
    np.testing.assert_allclose(scores.max_f_beta, facts["curve"].max(1), **EXACT)


def test_means_are_the_toolbox_s(facts):
    sums = MetricSums(profile=SOD)
    for row in range(len(facts["maps"])):
        sums.update(histogram_of(facts["maps"][row : row + 1], facts["masks"][row : row + 1]))
    got, curve = sums.compute(), facts["curve"].mean(0)
    assert got.max_f_beta == pytest.approx(curve.max(), abs=1e-12)
    assert got.mean_f_beta == pytest.approx(curve.mean(), abs=1e-12)
    assert got.mae == pytest.approx(facts["mae"].mean(), abs=1e-12)
    curves = sums.curves()
    np.testing.assert_allclose(curves.precision, facts["precision"].mean(0)[::-1], **EXACT)
    np.testing.assert_allclose(curves.recall, facts["recall"].mean(0)[::-1], **EXACT)
    np.testing.assert_allclose(curves.threshold, np.arange(256) / 255)


def test_probabilities_are_saved_as_the_nearest_byte():
    generator = torch.Generator().manual_seed(1)
    probability = torch.rand(3, 40, 40, generator=generator)
    probability[0, 0, :2] = torch.tensor([0.0, 1.0])
    mask = torch.rand(3, 40, 40, generator=generator) > 0.5
    bytes_ = np.floor(probability.double().numpy() * 255 + 0.5)
    got = score_images(pixel_histogram(probability, mask), SOD)
    want = score_images(histogram_of(bytes_, mask.numpy()), SOD)
    np.testing.assert_array_equal(got.curve, want.curve)
    np.testing.assert_array_equal(got.mae, want.mae)


def test_half_a_byte_is_rounded_up():
    """A map of 127.5 and 0 is one of 128 and 0, and stretched one of 255 and 0."""
    probability = torch.tensor([[[0.5, 0.0, 128 / 255, 127 / 255]]])
    mask = torch.tensor([[[True, False, True, True]]])
    scores = score_images(pixel_histogram(probability, mask), SOD)
    assert scores.recall[0, -1] == pytest.approx(2 / 3)
    assert scores.mae[0] == pytest.approx((1 - 127 / 128) / 4)


def test_fresh_maps_against_the_toolbox_itself():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        toolbox = pytest.importorskip("py_sod_metrics", exc_type=ImportError)
        measure, error = toolbox.Fmeasure(), toolbox.MAE()
    rng = np.random.default_rng(99)
    maps = rng.integers(rng.integers(100), 156 + rng.integers(100), (20, 30, 41))
    maps, masks = maps.astype(np.uint8), rng.random((20, 30, 41)) > 0.6
    for map_, mask in zip(maps, masks, strict=True):
        measure.step(map_, mask.astype(np.uint8) * 255)
        error.step(map_, mask.astype(np.uint8) * 255)
    scores = score_images(histogram_of(maps, masks), SOD)
    np.testing.assert_allclose(scores.mae, error.maes, **EXACT)
    np.testing.assert_allclose(scores.curve[:, ::-1], measure.changeable_fms, **EXACT)
    np.testing.assert_allclose(scores.precision[:, ::-1], measure.precisions, **EXACT)
