"""gseg/scores/feature_statistics.py: parts against the whole, files, memory."""

import gc
import weakref

import numpy as np
import pytest
import torch

from gseg.scores.feature_statistics import (
    FeatureStatistics,
    Moments,
    collect_statistics,
    join_statistics,
)
from gseg.scores.fid import compare, frechet_distance
from gseg.storage.checksums import file_digest

TABLE = np.random.default_rng(5).normal(size=(90, 6)).astype(np.float32)


class Lookup:
    """Features of picture i are row i of a table: its first bytes say i."""

    name, dim = "table", 6

    def begin(self, pictures):
        features = torch.from_numpy(TABLE[pictures[:, 0, 0, 0].numpy()])
        return lambda: features


def pictures(rows):
    tensor = torch.zeros(len(rows), 3, 2, 2, dtype=torch.uint8)
    tensor[:, 0, 0, 0] = torch.tensor(list(rows))
    return tensor


def part(rows, count=90):
    return collect_statistics(
        [pictures(rows)], Lookup(), source="pictures", first=rows.start, count=count
    )


def test_parts_equal_the_whole():
    whole = part(range(90))
    merged = join_statistics(part(rows) for rows in (range(31), range(31, 32), range(32, 90)))
    assert (merged.count, merged.source, merged.features) == (90, "pictures", "table")
    np.testing.assert_allclose(merged.moments.mean, TABLE.mean(0), rtol=0, atol=1e-6)
    np.testing.assert_allclose(merged.moments.covariance, whole.moments.covariance, rtol=1e-6)
    np.testing.assert_array_equal(merged.kept.vectors, TABLE)


def test_a_file_gives_back_what_was_saved(tmp_path):
    saved = part(range(90))
    saved.save(tmp_path / "s.npz")
    loaded = FeatureStatistics.load(tmp_path / "s.npz", "table")
    assert (loaded.count, loaded.source, loaded.features) == (90, "pictures", "table")
    np.testing.assert_allclose(loaded.moments.covariance, saved.moments.covariance, rtol=1e-12)
    np.testing.assert_array_equal(loaded.kept.vectors, TABLE)
    with np.load(tmp_path / "s.npz") as file:  # what pytorch-fid reads
        np.testing.assert_allclose(file["sigma"], np.cov(TABLE, rowvar=False), atol=1e-6)
        np.testing.assert_allclose(file["mu"], TABLE.mean(0), atol=1e-6)


def test_another_program_s_file_is_a_reference(tmp_path):
    """pytorch-fid writes mu and sigma alone."""
    mean, covariance = TABLE[:40].mean(0), np.cov(TABLE[:40], rowvar=False)
    np.savez(tmp_path / "fid.npz", mu=mean, sigma=covariance)
    reference = FeatureStatistics.load(tmp_path / "fid.npz", "table")
    generated = part(range(90))
    got = compare(generated, reference)
    want = frechet_distance(generated.moments, Moments.of(TABLE[:40], "table"))
    assert got.value == pytest.approx(want, rel=1e-6)
    told = f"fid.npz [{file_digest(tmp_path / 'fid.npz')[:8]}]"  # others may have this name
    assert got.protocol == f"table, 90 samples, reference {told}"
    assert got.kernel is None
    with pytest.raises(ValueError, match="give it as the reference"):
        compare(reference, generated)


def test_bad_files_are_named(tmp_path):
    file = tmp_path / "s.npz"
    part(range(90)).save(file)
    with pytest.raises(ValueError, match="made with the features 'table', not 'other'"):
        FeatureStatistics.load(file, "other")
    np.savez(tmp_path / "bad.npz", mu=np.zeros(3), sigma=np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"expected \(D,\) and \(D, D\)"):
        FeatureStatistics.load(tmp_path / "bad.npz", "table")
    np.savez(tmp_path / "empty.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match="holds no mu and no sigma"):
        FeatureStatistics.load(tmp_path / "empty.npz", "table")
    np.savez(tmp_path / "code.npz", mu=np.array([print], object), sigma=np.zeros((2, 2)))
    (tmp_path / "text.npz").write_text("hello")
    for name in ("code.npz", "text.npz", "absent.npz"):
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            FeatureStatistics.load(tmp_path / name, "table")


def test_more_pictures_than_announced_are_an_error():
    with pytest.raises(ValueError, match="pictures has 10 pictures, but more came"):
        part(range(11), count=10)


def test_no_more_than_two_batches_are_held_at_a_time():
    """Memory does not grow with the number of pictures."""
    alive = weakref.WeakSet()
    most = 0

    def stream():
        nonlocal most
        for number in range(40):
            batch = pictures([number])
            alive.add(batch)
            gc.collect(0)
            most = max(most, len(alive))
            yield batch

    collect_statistics(stream(), Lookup(), source="stream", count=90)
    assert most <= 2


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("mu", lambda a: np.where(np.arange(6) == 2, np.nan, a), "'mu' holds NaN .* row 2 of 6"),
        ("sigma", lambda a: np.where(np.eye(6) > 0, np.inf, a), "'sigma' holds NaN or inf"),
        ("sigma", lambda a: a - 9 * np.eye(6), "sigma .* no covariance: .* below zero"),
        ("sigma", lambda a: a + np.triu(np.ones((6, 6)), 1), "sigma .* no covariance: .*symmetric"),
        ("mu", lambda a: a.astype(str), "mu .*<U"),
        ("mu", lambda a: a.astype(complex), "mu .*complex128"),
        ("count", lambda a: np.array(-3), "count .* -3"),
        ("count", lambda a: np.array(2.5), "count .* 2.5"),
        ("count", lambda a: np.array([90, 90]), "count"),
        ("count", lambda a: np.array(1), "count is 1, .* at least 2"),
        ("kept_indices", lambda a: a + 5, "kept_indices .* of 90 pictures"),
        ("count", lambda a: np.array("many"), "count is many"),
        ("count", lambda a: np.array(10), "90 kept vectors, .* 10 pictures"),
        ("kept_vectors", lambda a: a[:80], r"kept_indices \(90,\).*\(80, 6\)"),
        ("kept_vectors", lambda a: a[:, :5], r"kept_vectors \(90, 5\)"),
        ("kept_vectors", lambda a: np.where(a == a[7], np.nan, a), "'kept_vectors' .* row 7 of 90"),
        ("kept_indices", lambda a: a[::-1], "kept_indices .* ascending"),
        ("kept_indices", lambda a: a - 1, "kept_indices .* ascending"),
        ("kept_indices", lambda a: a * 0.5, "kept_indices .*float64"),
    ],
)
def test_arrays_that_are_no_statistics_are_refused(tmp_path, name, change, told):
    part(range(90)).save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "s.npz", **{**arrays, name: change(arrays[name])})
    with pytest.raises(ValueError, match=rf"s\.npz:? .*{told}"):
        FeatureStatistics.load(tmp_path / "s.npz", "table")
