"""gseg/scores/fid.py against the textbook formula, and parts against the whole."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from gseg.features.scenes import scenes_features
from gseg.scenes.pictures import HELD_OUT_FIRST, VALIDATION_FIRST, render
from gseg.scores.fid import (
    distance_between,
    feature_moments,
    frechet_distance,
    picture_distance,
    scenes_moments,
)
from gseg.scores.moments import Moments


def vectors(seed, count, dim=12, shift=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dim)) @ rng.normal(size=(dim, dim)) + shift


def textbook(first, second):
    """The formula as FID programs write it, on the vectors themselves."""
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    shift = first.mean(0) - second.mean(0)
    return shift @ shift + np.trace(a + b) - 2 * np.trace(sqrtm(a @ b).real)


@pytest.mark.parametrize("seed", range(4))
def test_distance_equals_the_textbook_formula(seed):
    first, second = vectors(seed, 400), vectors(seed + 100, 300, shift=1.5)
    got = frechet_distance(Moments.of(first, "f"), Moments.of(second, "f"))
    assert got == pytest.approx(textbook(first, second), rel=1e-6)


@pytest.mark.parametrize("dim", [12, 128])
def test_distance_equals_torch_fidelity_s_on_the_same_features(dim):
    first = torch.from_numpy(np.abs(vectors(1, 700, dim=dim)))
    second = torch.from_numpy(np.abs(vectors(2, 600, dim=dim, shift=0.4)))
    statistics = [fid_features_to_statistics(table) for table in (first, second)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    parts = [
        sum((Moments.of(p, "f") for p in torch.split(t, 90)), start=Moments.zero(dim, "f"))
        for t in (first, second)
    ]
    assert frechet_distance(*parts) == pytest.approx(theirs, rel=1e-6)


def test_distance_of_two_known_normals():
    """Axis-aligned: |μ|² plus the squared differences of the standard deviations."""
    deviations = np.array([[1.0, 2.0], [3.0, 2.5]])
    moments = [
        Moments(
            count=11, mean=np.full(2, k), scatter=np.diag(10 * deviations[k] ** 2), features="f"
        )
        for k in range(2)
    ]
    assert frechet_distance(*moments) == pytest.approx(2 + 2.0**2 + 0.5**2)


def test_distance_is_symmetric_and_zero_to_itself():
    first, second = (Moments.of(vectors(seed, 200), "f") for seed in (1, 2))
    assert frechet_distance(first, second) == pytest.approx(frechet_distance(second, first))
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_singular_covariances_are_no_trouble():
    few = vectors(1, 5)  # rank 4 in 12 dimensions
    dead = vectors(2, 300)
    dead[:, 3] = 0.0
    got = frechet_distance(Moments.of(few, "f"), Moments.of(dead, "f"))
    regular = [
        Moments(count=m.count, mean=m.mean, scatter=m.scatter + 1e-9 * np.eye(12), features="f")
        for m in (Moments.of(few, "f"), Moments.of(dead, "f"))
    ]
    assert np.isfinite(got)
    assert got == pytest.approx(frechet_distance(*regular), rel=1e-3)
    constant = Moments.of(np.ones((10, 12)), "f")
    assert frechet_distance(constant, constant) == 0


@pytest.mark.parametrize("cuts", [(1,), (10, 10, 500), tuple(range(50, 1000, 50))])
def test_merged_moments_equal_the_whole(cuts):
    # A large common offset is what a plain sum of squares would not survive.
    table = vectors(3, 1000) + 1e6
    whole = Moments.of(table, "f")
    merged = sum(
        (Moments.of(part, "f") for part in np.split(table, cuts)), start=Moments.zero(12, "f")
    )
    assert merged.count == 1000
    np.testing.assert_allclose(merged.mean, whole.mean, rtol=1e-12)
    scale = np.abs(whole.covariance).max()
    np.testing.assert_allclose(merged.covariance, np.cov(table, rowvar=False), atol=1e-6 * scale)


def test_stream_of_pictures_equals_one_batch():
    extractor = scenes_features()
    pictures = render(range(HELD_OUT_FIRST, HELD_OUT_FIRST + 120)).pictures
    whole = feature_moments([pictures], extractor)
    parts = feature_moments(torch.split(pictures, 17), extractor)
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-4, atol=1e-6)


def test_noise_is_farther_from_scenes_than_scenes_are():
    extractor = scenes_features()
    reference = scenes_moments(extractor, count=400)
    scenes = render(range(VALIDATION_FIRST, VALIDATION_FIRST + 400)).pictures
    near = picture_distance(torch.split(scenes, 200), reference, extractor)
    blurred = torch.nn.functional.avg_pool2d(scenes.float(), 3, 1, 1).to(torch.uint8)
    middle = picture_distance([blurred], reference, extractor)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (400, 3, 32, 32), dtype=torch.uint8, generator=generator)
    far = picture_distance([noise], reference, extractor)
    assert near.value < middle.value < far.value
    assert near.value < 0.2 * middle.value
    assert (near.samples, near.protocol) == (400, "scenes-features-v1, 400 samples")


def test_reference_is_of_training_pictures_in_order():
    extractor = scenes_features()
    moments = scenes_moments(extractor, count=30)
    direct = feature_moments([render(range(30)).pictures], extractor)
    np.testing.assert_allclose(moments.mean, direct.mean, rtol=1e-6)
    with pytest.raises(ValueError, match="where validation starts"):
        scenes_moments(extractor, count=10, first=VALIDATION_FIRST - 5)


def test_protocol_names_features_and_both_numbers():
    generated, reference = Moments.of(vectors(1, 50), "f"), Moments.of(vectors(2, 80), "f")
    assert distance_between(generated, reference).protocol == "f, 50 samples, 80 references"


def test_bad_input_is_named():
    moments = Moments.of(vectors(1, 50), "f")
    with pytest.raises(ValueError, match="no meaning"):
        frechet_distance(moments, Moments.of(vectors(1, 50), "g"))
    with pytest.raises(ValueError, match="cannot be added"):
        _ = moments + Moments.of(vectors(1, 50, dim=3), "f")
    with pytest.raises(ValueError, match="at least 2 pictures, got 1"):
        frechet_distance(moments, Moments.of(vectors(1, 1), "f"))
    with pytest.raises(ValueError, match="NaN"):
        Moments.of(np.full((2, 3), np.nan), "f")
    with pytest.raises(ValueError, match=r"\(N, D\)"):
        Moments.of(np.zeros(3), "f")
