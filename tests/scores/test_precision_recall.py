"""gseg/scores/precision_recall.py against a loop over pairs, torch-fidelity, and known cases."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import prc_features_to_metric

from gseg.scores import precision_recall as measuring
from gseg.scores.feature_statistics import KeptVectors
from gseg.scores.precision_recall import precision_recall


def normal(seed, count, dim=8, *, scale=1.0, shift=0.0):
    drawn = np.random.default_rng(seed).normal(size=(count, dim))
    return (scale * drawn + shift).astype(np.float32)


def clusters(seed, count, centres):
    """Tight groups of vectors, far from each other, `count` in each."""
    rng = np.random.default_rng(seed)
    places = 10.0 * np.eye(8)[list(centres)]
    return (np.repeat(places, count, 0) + 0.1 * rng.normal(size=(count * len(centres), 8))).astype(
        np.float32
    )


def kept(table, features="f"):
    return KeptVectors(indices=np.arange(len(table)), vectors=table, features=features)


def measured(generated, real, **more):
    found = precision_recall(kept(generated), kept(real), **more)
    return found.precision, found.recall


def naive(generated, real, k=3):
    """The definition, one pair after the other."""

    def inside(point, manifold):
        for own, centre in enumerate(manifold):
            others = [np.linalg.norm(centre - x) for j, x in enumerate(manifold) if j != own]
            if np.linalg.norm(point - centre) <= sorted(others)[k - 1]:
                return True
        return False

    generated, real = generated.astype(np.float64), real.astype(np.float64)
    return (
        np.mean([inside(point, real) for point in generated]),
        np.mean([inside(point, generated) for point in real]),
    )


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_both_equal_the_definition(k, shift):
    generated, real = normal(1, 40, scale=0.7, shift=shift), normal(2, 30)
    want = naive(generated, real, k)
    assert 0 < min(want) < 1
    assert measured(generated, real, neighbours=k) == pytest.approx(want)


@pytest.mark.parametrize(("dim", "scale"), [(8, 1.3), (64, 0.9)])
def test_both_equal_torch_fidelity_s(dim, scale):
    generated, real = normal(1, 700, dim, scale=scale), normal(2, 600, dim)
    theirs = prc_features_to_metric(
        torch.from_numpy(generated), torch.from_numpy(real), prc_neighborhood=3, verbose=False
    )
    want = (theirs["precision"], theirs["recall"])
    # torch-fidelity computes in float32: a pair at the edge may fall out.
    assert measured(generated, real) == pytest.approx(want, abs=0.002)


def test_sets_that_are_equal_or_far_apart():
    table = normal(1, 50)
    assert measured(table, table[::-1].copy()) == (1, 1)
    assert measured(table, table + np.float32(100)) == (0, 0)


def test_modes_that_are_missing_lower_recall_alone():
    real = clusters(1, 30, range(4))
    assert measured(clusters(2, 120, range(1)), real)[1] < 0.3
    precision, recall = measured(clusters(2, 60, range(2)), real)
    assert precision > 0.7
    assert 0.3 < recall <= 0.5


def test_noise_lowers_precision_alone():
    real, rng = clusters(1, 100, range(3)), np.random.default_rng(5)
    noisy = real.copy()
    noisy[::2] += rng.normal(0, 5, noisy[::2].shape).astype(np.float32)
    precision, recall = measured(noisy, real)
    assert precision == pytest.approx(0.5, abs=0.02)
    assert recall > 0.9


def test_repeated_pictures_are_in_balls_of_no_extent_wherever_blocks_are_cut(monkeypatch):
    # Values whose products round: the same picture's distance to itself is not 0 to the last bit.
    table = np.repeat(normal(1, 5, 64, scale=7, shift=900), 9, 0)
    for size in (500, 7, 1):
        monkeypatch.setattr(measuring, "_BLOCK", size)
        assert measured(table, table) == (1, 1)
        assert measured(table[:18], table) == (1, 18 / 45)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_change_nothing(monkeypatch, size):
    generated, real = normal(1, 90, shift=0.3), normal(2, 70)
    whole = measured(generated, real)
    monkeypatch.setattr(measuring, "_BLOCK", size)
    assert measured(generated, real) == whole


def test_protocol_names_features_neighbours_and_numbers():
    found = precision_recall(kept(normal(1, 9)), kept(normal(2, 6)))
    assert found.protocol == "f, 3 neighbours among 9 and 6"


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="has no meaning"):
        precision_recall(kept(normal(1, 9)), kept(normal(1, 9), features="g"))
    with pytest.raises(ValueError, match="more than 3 pictures of each set, got 9 and 3"):
        precision_recall(kept(normal(1, 9)), kept(normal(2, 3)))
