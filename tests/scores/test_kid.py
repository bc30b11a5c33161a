"""gseg/scores/kid.py against torch-fidelity and against a loop over pairs."""

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from gseg.scores.kid import (
    KeptVectors,
    chosen_pictures,
    kernel_distance,
    squared_discrepancy,
)


def vectors(seed, count, dim=16, shift=0.0):
    rng = np.random.default_rng(seed)
    return (np.abs(rng.normal(size=(count, dim))) + shift).astype(np.float32)


def kept(table, features="f"):
    return KeptVectors(indices=np.arange(len(table)), vectors=table, features=features)


def test_discrepancy_equals_a_loop_over_pairs():
    x, y = vectors(1, 7, dim=3), vectors(2, 5, dim=3)

    def kernel(a, b):
        return (float(a.astype(np.float64) @ b.astype(np.float64)) / 3 + 1) ** 3

    within = [
        np.mean([kernel(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j])
        for s in (x, y)
    ]
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert squared_discrepancy(x, y) == pytest.approx(sum(within) - 2 * across, rel=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_distance_of_whole_sets_is_torch_fidelity_s(shift):
    """With subsets as large as the sets, nothing is left to chance."""
    first, second = vectors(1, 300), vectors(2, 300, shift=shift)
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
    first, second = vectors(1, 600), vectors(2, 500, shift=0.1)
    whole = squared_discrepancy(first, second)
    got = kernel_distance(kept(first), kept(second), subsets=60, size=100)
    assert got.deviation > 0
    assert got.value == pytest.approx(whole, abs=4 * got.deviation / 60**0.5)
    assert got.protocol == "KID, f, cubic kernel, 60 subsets of 100 from 600 and 500"
    assert kernel_distance(kept(first), kept(second), subsets=60, size=100) == got


def test_equal_distributions_are_near_zero_and_others_far():
    first = kept(vectors(1, 400))
    near = kernel_distance(first, kept(vectors(2, 400)), subsets=5, size=200)
    far = kernel_distance(first, kept(vectors(2, 400, shift=0.5)), subsets=5, size=200)
    assert abs(near.value) < 0.05 * far.value


def test_a_large_set_keeps_a_fixed_choice_of_its_pictures():
    assert chosen_pictures(30, 30).all()
    chosen = chosen_pictures(2000, 300)
    assert chosen.sum() == 300
    # Spread over the set, not its beginning: classes may come one after the other.
    halves = chosen.reshape(2, -1).sum(1)
    assert halves.min() > 110
    assert np.array_equal(chosen, chosen_pictures(2000, 300))


def test_parts_join_in_any_order():
    table = vectors(1, 40)
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


def test_bad_input_is_named():
    table = vectors(1, 10)
    with pytest.raises(ValueError, match="no meaning"):
        kernel_distance(kept(table), kept(table, features="g"))
    with pytest.raises(ValueError, match="at least 2 pictures"):
        kernel_distance(kept(table), kept(table[:1]))
