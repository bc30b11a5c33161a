from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats

from gseg.generators.analytic import analytic_generator
from gseg.randomness import derive_seed, labels, latents, uniforms
from gseg.samples.config import LatentConfig, SampleConfig
from gseg.samples.draw import draw_shard
from gseg.samples.latents import candidates, check_truncation, near_embeddings
from gseg.storage.digests import canonical, digest

CARD = analytic_generator(8, num_classes=5).card


def table(folder, rows=6, width=8, name="embeddings.npy", dtype="float32"):
    values = np.random.default_rng(0).normal(size=(rows, width)).astype(dtype)
    np.save(folder / name, values)
    return folder / name, values


def test_the_prior_is_the_default():
    for config in (LatentConfig(), LatentConfig(classes=(0, 1, 2, 3, 4))):
        z, y = candidates(CARD, config, 3, np.arange(50))
        assert torch.equal(z, latents(3, np.arange(50), 8))
        assert torch.equal(y, labels(3, np.arange(50), 5))
    assert LatentConfig().source == "prior"


def test_embeddings_are_chosen_by_seed_and_index(tmp_path):
    path, values = table(tmp_path)
    config = near_embeddings(path)
    indices = np.arange(600)
    z, _ = candidates(CARD, config, 3, indices)
    places = [int(uniforms(derive_seed(3, "embedding"), [i], 1)[0, 0] * 6) for i in indices]
    np.testing.assert_array_equal(z.numpy(), values[places])
    assert np.bincount(places).min() > 60  # uniform: 100 each
    other, _ = candidates(CARD, config, 4, indices)
    assert not torch.equal(z, other)
    later, _ = candidates(CARD, config, 3, [599, 17])
    assert torch.equal(later, z[[599, 17]])


def test_noise_around_embeddings_is_scaled_by_alpha(tmp_path):
    path, _ = table(tmp_path, dtype="float64")
    plain, _ = candidates(CARD, near_embeddings(path), 3, np.arange(40))
    noisy, _ = candidates(CARD, near_embeddings(path, alpha=0.2), 3, np.arange(40))
    torch.testing.assert_close(noisy - plain, 0.2 * latents(3, np.arange(40), 8))


def test_content_names_the_embeddings_not_their_place(tmp_path):
    path, values = table(tmp_path)
    (tmp_path / "copy").mkdir()
    moved, _ = table(tmp_path / "copy", name="other.npy")
    config, same = (SampleConfig(latents=near_embeddings(each)) for each in (path, moved))
    assert digest(config) == digest(same)
    assert config == same
    assert str(tmp_path) not in str(canonical(config))
    np.save(moved, values + 1)
    with pytest.raises(ValueError, match="has changed since"):
        candidates(CARD, same.latents, 0, [0])
    assert digest(SampleConfig(latents=near_embeddings(moved))) != digest(config)
    assert digest(SampleConfig(latents=near_embeddings(path, alpha=0.1))) != digest(config)


def test_wrong_embeddings_are_refused(tmp_path):
    path, _ = table(tmp_path, width=120)
    with pytest.raises(ValueError, match=r"of width 120, analytic.ellipses8 takes latents of 8"):
        candidates(CARD, near_embeddings(path), 0, [0])
    with pytest.raises(ValueError, match="no such file of embeddings"):
        near_embeddings(tmp_path / "absent.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(ValueError, match="cannot be read as a file of NumPy"):
        near_embeddings(tmp_path / "text.npy")
    np.save(tmp_path / "flat.npy", np.zeros(8))
    with pytest.raises(ValueError, match=r"float64 of shape \(8,\), expected embeddings"):
        near_embeddings(tmp_path / "flat.npy")
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    with pytest.raises(ValueError, match="cannot be read as a file of NumPy"):
        near_embeddings(tmp_path / "objects.npy")


def test_the_truncated_prior_is_a_truncated_normal():
    z, _ = candidates(CARD, LatentConfig(truncation=0.7), 3, np.arange(2_000))
    assert z.abs().max() <= 0.7
    drawn = z.numpy().ravel()[:8_000]
    assert stats.kstest(drawn, stats.truncnorm(-0.7, 0.7).cdf).pvalue > 0.01
    wide, _ = candidates(CARD, LatentConfig(truncation=9.0), 3, np.arange(2_000))
    assert stats.kstest(wide.numpy().ravel()[:8_000], stats.norm.cdf).pvalue > 0.01


def test_classes_are_fixed_or_weighted():
    indices = np.arange(4_000)
    for config, shares in (
        (LatentConfig(classes=(3,)), {3: 1.0}),
        (LatentConfig(classes=(4, 1)), {4: 0.5, 1: 0.5}),
        (LatentConfig(classes=(4, 1, 0), class_weights=(3, 1, 0)), {4: 0.75, 1: 0.25}),
    ):
        z, y = candidates(CARD, config, 3, indices)
        assert torch.equal(z, candidates(CARD, LatentConfig(), 3, indices)[0])
        for label in range(5):
            share = (y == label).double().mean()
            assert share == pytest.approx(shares.get(label, 0.0), abs=0.03)
    with pytest.raises(ValueError, match="has 5 classes, asked for class 5"):
        candidates(CARD, LatentConfig(classes=(5,)), 3, indices)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embeddings": "x.npy"}, "use near_embeddings"),
        ({"alpha": 0.2}, "noise around embeddings, got 0.2 with prior"),
        ({"embeddings": "x", "embeddings_digest": "y", "alpha": -1.0}, "got -1.0"),
        ({"embeddings": "x", "embeddings_digest": "y", "truncation": 1.0}, "leave truncation out"),
        ({"truncation": 0.0}, "above 0 or None, got 0.0"),
        ({"classes": (1, 1)}, "different labels"),
        ({"classes": (-1,)}, "different labels"),
        ({"classes": (1, 2), "class_weights": (1.0,)}, "each of the 2 classes"),
        ({"classes": (1,), "class_weights": (0.0,)}, "one above 0"),
    ],
)
def test_configs_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        LatentConfig(**options)


def test_a_family_that_truncates_itself_must_be_loaded_so():
    card = replace(CARD, truncates=True, name="stylegan2.x")
    generator = SimpleNamespace(card=card, truncation=0.5)
    check_truncation(generator, LatentConfig(truncation=0.5))
    with pytest.raises(ValueError, match=r"loaded with truncation 0\.5, but the samples ask"):
        check_truncation(generator, LatentConfig())
    z, _ = candidates(card, LatentConfig(truncation=0.5), 3, [0, 1])
    assert torch.equal(z, latents(3, [0, 1], 8))


def test_samples_come_from_the_embeddings(tmp_path):
    generator = analytic_generator(16)
    path, values = table(tmp_path, rows=1)
    vector = torch.nn.functional.normalize(torch.ones(8), dim=0)
    config = SampleConfig(batch=4, blocks_per_shard=1, latents=near_embeddings(path))
    config = replace(config, filters=replace(config.filters, histogram=None, max_share=1.0))
    shard = draw_shard(generator, SimpleNamespace(lighter=vector, darker=-vector), config, 0)
    pixels = ((generator(torch.from_numpy(values)) + 1) * 127.5).round().to(torch.uint8)
    assert len(shard) == 4
    assert (shard.pictures.int() - pixels.int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("dtype", "number"), [("float32", np.nan), ("float64", -np.inf), ("float64", 1e300)]
)
def test_embeddings_are_finite_and_the_row_is_named(tmp_path, dtype, number):
    path, values = table(tmp_path, dtype=dtype)
    values[4, 1] = number
    np.save(path, values)
    with pytest.raises(ValueError, match=r"embeddings\.npy: 'array' holds NaN .* row 4 of 6"):
        near_embeddings(path)


@pytest.mark.parametrize("damage", ["empty", "header", "npz", "text"])
def test_a_file_that_is_no_array_is_named(tmp_path, damage):
    path, values = table(tmp_path)
    content = path.read_bytes()
    if damage == "npz":
        with path.open("wb") as file:
            np.savez(file, values=values)
    else:
        damaged = {"empty": b"", "header": content.replace(b"{'descr'", b"{(((scr'"), "text": b"hi"}
        path.write_bytes(damaged[damage])
    with pytest.raises(
        ValueError, match=r"embeddings\.npy (cannot be read|holds values)"
    ) as caught:
        near_embeddings(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "told"), [(b"[1]", "says"), (b"null", "says"), (b"{", "cannot be read")]
)
def test_what_lies_beside_embeddings_is_named(tmp_path, header, told):
    path, _ = table(tmp_path)
    schema = pa.schema([], metadata={b"gseg.embeddings": header})
    pq.write_table(schema.empty_table(), tmp_path / "embeddings.parquet")
    with pytest.raises(ValueError, match=rf"embeddings\.parquet {told}"):
        candidates(CARD, near_embeddings(path), 0, [0])
