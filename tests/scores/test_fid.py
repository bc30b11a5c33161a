"""gseg/scores/fid.py against textbook formulas and torch-fidelity, and parts against the whole."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

from gseg.features.networks import scenes_features
from gseg.scenes.pictures import HELD_OUT_FIRST, VALIDATION_FIRST, render
from gseg.scores.feature_statistics import (
    FeatureStatistics,
    KeptVectors,
    Moments,
    collect_statistics,
    kept_pictures,
)
from gseg.scores.fid import compare, frechet_distance, kernel_distance, squared_discrepancy
from gseg.scores.picture_sources import SCENES_SOURCE, ScenesPictures


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


def statistics(batches, count, source="made up"):
    return collect_statistics(batches, scenes_features(), source=source, count=count)


def test_stream_of_pictures_equals_one_batch():
    pictures = render(range(HELD_OUT_FIRST, HELD_OUT_FIRST + 120)).pictures
    whole = statistics([pictures], 120).moments
    parts = statistics(torch.split(pictures, 17), 120).moments
    np.testing.assert_allclose(parts.covariance, whole.covariance, rtol=1e-4, atol=1e-6)


def test_noise_is_farther_from_scenes_than_scenes_are():
    reference = statistics(ScenesPictures(400).batches(range(400)), 400, SCENES_SOURCE)
    scenes = render(range(VALIDATION_FIRST, VALIDATION_FIRST + 400)).pictures
    near = compare(statistics(torch.split(scenes, 200), 400), reference)
    blurred = torch.nn.functional.avg_pool2d(scenes.float(), 3, 1, 1).to(torch.uint8)
    middle = compare(statistics([blurred], 400), reference)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (400, 3, 32, 32), dtype=torch.uint8, generator=generator)
    far = compare(statistics([noise], 400), reference)
    assert near.value < middle.value < far.value
    # Of 400 pictures, so most of the nearest one is bias.
    assert near.value < 0.6 * middle.value
    shares = [found.precision_recall for found in (near, middle, far)]
    assert min(shares[0].precision, shares[0].recall) > 0.75
    assert shares[2].precision == shares[2].recall == 0
    # Blur takes kinds of pictures away more than it makes new ones.
    assert shares[1].recall < shares[0].recall
    assert (near.samples, near.protocol) == (400, "scenes-features-v3, 400 samples")


def test_protocol_names_features_and_both_numbers():
    generated, reference = (
        FeatureStatistics(
            moments=Moments.of(vectors(number, count), "f"), kept=None, source=SCENES_SOURCE
        )
        for number, count in ((1, 50), (2, 80))
    )
    assert compare(generated, reference).protocol == "f, 50 samples, 80 references"


def test_what_stands_beside_the_distance_says_its_size():
    table = positive_vectors(1, 50)
    sets = [
        FeatureStatistics(
            moments=Moments.of(own, "f"), kept=kept(own), source=f"{SCENES_SOURCE} at 16 px"
        )
        for own in (table, table[:3])
    ]
    whole = compare(sets[0], sets[0])
    protocols = whole.protocol, whole.kernel.protocol, whole.precision_recall.protocol
    assert all(protocol.endswith(" at 16 px") for protocol in protocols)
    assert (whole.precision_recall.precision, whole.precision_recall.recall) == (1, 1)
    assert compare(sets[0], sets[1]).precision_recall is None  # three pictures have no manifold


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


def positive_vectors(seed, count, dim=16, shift=0.0):
    rng = np.random.default_rng(seed)
    return (np.abs(rng.normal(size=(count, dim))) + shift).astype(np.float32)


def kept(table, features="f"):
    return KeptVectors(indices=np.arange(len(table)), vectors=table, features=features)


def test_discrepancy_equals_a_loop_over_pairs():
    x, y = positive_vectors(1, 7, dim=3), positive_vectors(2, 5, dim=3)

    def kernel(a, b):
        return (float(a.astype(np.float64) @ b.astype(np.float64)) / 3 + 1) ** 3

    within = [
        np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])
        for s in (x, y)
    ]
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert squared_discrepancy(x, y) == pytest.approx(sum(within) - 2 * across, rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_kernel_distance_of_whole_sets_is_torch_fidelity_s(shift):
    """With subsets as large as the sets, nothing is left to chance."""
    first, second = positive_vectors(1, 300), positive_vectors(2, 300, shift=shift)
    theirs = kid_features_to_metric(
        torch.from_numpy(first),
        torch.from_numpy(second),
        kid_subsets=2,
        kid_subset_size=300,
        verbose=False,
    )
    got = kernel_distance(kept(first), kept(second))
    # torch-fidelity computes in float32.
    assert got.value == pytest.approx(theirs["kernel_inception_distance_mean"], abs=2e-6)
    assert got.deviation is None
    assert got.protocol == "KID, f, cubic kernel, all 300"


def test_subsets_scatter_around_the_whole_and_are_named():
    first, second = positive_vectors(1, 600), positive_vectors(2, 500, shift=0.1)
    whole = squared_discrepancy(first, second)
    got = kernel_distance(kept(first), kept(second), subsets=60, size=100)
    assert got.deviation > 0
    assert got.value == pytest.approx(whole, abs=4 * got.deviation / 60**0.5)
    assert got.protocol == "KID, f, cubic kernel, 60 subsets of 100 from 600 and 500"
    assert kernel_distance(kept(first), kept(second), subsets=60, size=100) == got


def test_equal_distributions_are_near_zero_and_others_far():
    first = kept(positive_vectors(1, 400))
    near = kernel_distance(first, kept(positive_vectors(2, 400)), subsets=5, size=200)
    far = kernel_distance(first, kept(positive_vectors(2, 400, shift=0.5)), subsets=5, size=200)
    assert abs(near.value) < 0.05 * far.value


def test_a_large_set_keeps_a_fixed_choice_of_its_pictures():
    assert kept_pictures(30, 30).all()
    chosen = kept_pictures(2000, 300)
    assert chosen.sum() == 300
    # Spread over the set, not its beginning: classes may come one after the other.
    halves = chosen.reshape(2, -1).sum(1)
    assert halves.min() > 110
    assert np.array_equal(chosen, kept_pictures(2000, 300))


def test_parts_join_in_any_order():
    table = positive_vectors(1, 40)
    cut = [
        KeptVectors(indices=np.array(rows), vectors=table[rows], features="f")
        for rows in (range(25, 40), range(10), range(10, 25))
    ]
    whole = KeptVectors.join(cut)
    assert np.array_equal(whole.indices, np.arange(40))
    assert np.array_equal(whole.vectors, table)
    with pytest.raises(ValueError, match="some come twice"):
        KeptVectors.join([cut[0], cut[0]])
    with pytest.raises(ValueError, match="do not go together"):
        KeptVectors.join([cut[0], kept(table, features="g")])


def test_bad_input_of_kernel_distances_is_named():
    table = positive_vectors(1, 10)
    with pytest.raises(ValueError, match="no meaning"):
        kernel_distance(kept(table), kept(table, features="g"))
    with pytest.raises(ValueError, match="at least 2 pictures"):
        kernel_distance(kept(table), kept(table[:1]))
