import hashlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from gseg.randomness import derive_seed, labels, latents, normals, training_order, uniforms

_MASK = 2**64 - 1


def _mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)


def _uniform(seed, index, column):
    """SplitMix64 in Python's unbounded integers, started at a hash of seed and index."""
    golden = 0x9E3779B97F4A7C15
    start = _mix((seed + golden) & _MASK) ^ _mix((index + 1) * golden & _MASK)
    bits = _mix((_mix(start) + (column + 1) * golden) & _MASK)
    return ((bits >> 11) + 0.5) * 2.0**-53


@pytest.mark.parametrize("seed", [0, 1, 2**63 + 5, 2**64 - 1])
def test_uniforms_equal_arithmetic_with_whole_numbers(seed):
    indices = [0, 7, 10**12]
    expected = [[_uniform(seed, index, column) for column in range(4)] for index in indices]
    assert uniforms(seed, indices, 4).tolist() == expected


def test_a_row_depends_on_its_index_alone():
    everything = normals(3, range(50), 6)
    assert np.array_equal(normals(3, [41, 7], 6), everything[[41, 7]])
    assert np.array_equal(uniforms(3, range(50), 9)[:, :4], uniforms(3, range(50), 4))


def test_uniforms_are_uniform_and_independent():
    u = uniforms(11, range(4000), 5)
    assert 0 < u.min() < u.max() < 1
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    correlation = np.corrcoef(np.concatenate([u.T, uniforms(12, range(4000), 5).T]))
    assert np.abs(correlation - np.eye(10)).max() < 0.06
    neighbours = np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]
    assert abs(neighbours) < 0.06


def test_normals_are_normal():
    z = normals(5, range(4000), 5)
    assert z.shape == (4000, 5)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(z.T) - np.eye(5)).max() < 0.06


def test_normals_are_box_muller_of_the_uniforms():
    u, z = uniforms(9, [4], 4)[0], normals(9, [4], 3)[0]
    radius = math.sqrt(-2 * math.log(u[0]))
    assert z[0] == pytest.approx(radius * math.cos(2 * math.pi * u[2]))
    assert z[2] == pytest.approx(radius * math.sin(2 * math.pi * u[2]))


def test_a_stream_has_its_own_seed_on_every_machine():
    text = b"(7, 'latents', 3)"
    expected = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") // 2
    assert derive_seed(7, "latents", 3) == expected
    assert len({derive_seed(s, n) for s in range(50) for n in ("a", "b")}) == 100
    assert 0 <= derive_seed(0) < 2**63
    code = "from gseg.randomness import derive_seed; print(derive_seed(7, 'latents', 3))"
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "5", "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert int(process.stdout) == expected


def test_latents_and_labels_of_a_sample_do_not_depend_on_the_batch():
    z, y = latents(2, range(20), 8), labels(2, range(20), 10)
    assert z.dtype == torch.float32
    assert y.dtype == torch.int64
    assert torch.equal(latents(2, [13, 5], 8), z[[13, 5]])
    assert torch.equal(labels(2, [13, 5], 10), y[[13, 5]])
    assert labels(2, range(20), 0) is None


def test_labels_are_uniform_over_the_classes():
    y = labels(0, range(5000), 7)
    counts = torch.bincount(y, minlength=7)
    assert len(counts) == 7
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("batch", "size"), [(4, 10), (10, 4), (5, 5), (3, 1)])
def test_training_sees_every_sample_once_in_an_epoch(batch, size):
    steps = [training_order(6, step, batch, size) for step in range(size * 3)]
    assert all(len(step) == batch for step in steps)
    stream = np.concatenate(steps)
    epochs = stream[: len(stream) // size * size].reshape(-1, size)
    assert all(sorted(epoch) == list(range(size)) for epoch in epochs)


def test_training_order_differs_between_epochs_and_seeds():
    first, second = training_order(6, 0, 50, 50), training_order(6, 1, 50, 50)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, training_order(7, 0, 50, 50))
    assert np.array_equal(second, training_order(6, 1, 50, 50))


@pytest.mark.parametrize(("size", "window"), [(500, 40), (500, 1), (7, 3)])
def test_a_windowed_order_sees_every_sample_once_and_needs_only_the_window(size, window):
    order = training_order(6, 0, size, size, window)
    assert sorted(order) == list(range(size))
    waiting = set(range(size))
    for sample in order:
        assert sample <= min(waiting) + window
        waiting.remove(sample)
    if window == 1:
        assert np.array_equal(order, np.arange(size))
    else:
        assert not np.array_equal(order, np.arange(size))
    assert not np.array_equal(order, training_order(6, 1, size, size, window)) or window == 1


def test_a_window_as_large_as_the_set_changes_nothing():
    whole = training_order(6, 3, 7, 50)
    assert np.array_equal(whole, training_order(6, 3, 7, 50, 50))
    assert np.array_equal(whole, training_order(6, 3, 7, 50, 10**9))
    assert not np.array_equal(whole, training_order(6, 3, 7, 50, 49))
