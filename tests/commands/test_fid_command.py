"""``gseg fid``: what it prints and leaves, and what mistakes cost."""

import json
import re
from dataclasses import asdict

import numpy as np
import pytest
import torch.nn.functional as F
from PIL import Image

from gseg.cli import main
from gseg.features.networks import scenes_features
from gseg.generators.catalogue import load_generator
from gseg.scores.feature_statistics import collect_statistics
from gseg.scores.fid import compare, scenes_distance
from gseg.scores.picture_sources import GeneratedPictures, ScenesPictures

NAME = "analytic.ellipses32"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSEG_WEIGHTS", "")


def folder_of_noise(path, count, top=256, side=32, suffix=".png"):
    path.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        picture = rng.integers(0, top, (side, side, 3), dtype=np.uint8)
        Image.fromarray(picture).save(path / f"{number}{suffix}")
    return path


def _shares(want, side=""):
    shares = want.precision_recall
    told = f"precision {shares.precision:.3f}, recall {shares.recall:.3f}"
    return f"{told} ({shares.protocol}{side})"


def fid(capsys, *words):
    assert main(["fid", *map(str, words)]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_generator_and_its_statistics_as_a_reference(capsys, tmp_path):
    lines = fid(capsys, NAME, "--count", 40, "--save", "own.npz", "--json", "own.json")
    want = scenes_distance(load_generator(NAME), 40)
    assert lines == [
        f"Fréchet distance {want.value:.4f} (scenes-features-v3, 40 samples)",
        f"kernel distance {want.kernel.value:.6f} ({want.kernel.protocol})",
        _shares(want),
    ]
    saved = json.loads((tmp_path / "own.json").read_text())
    assert saved["value"] == pytest.approx(want.value, rel=1e-6)
    assert saved["kernel"]["protocol"] == want.kernel.protocol
    assert saved["precision_recall"] == asdict(want.precision_recall)
    lines = fid(capsys, NAME, "--count", 40, "--reference", "own.npz")
    assert lines[0].startswith("Fréchet distance 0.0000 ")
    assert lines[2].startswith("precision 1.000, recall 1.000 (")
    assert "reference analytic.ellipses32 (40)" in lines[0]
    assert fid(capsys, "own.npz")[0].startswith("Fréchet distance ")
    assert len(list((tmp_path / "storage" / "statistics").iterdir())) == 2


def test_two_folders(capsys, tmp_path):
    one = folder_of_noise(tmp_path / "one", 20)
    other = folder_of_noise(tmp_path / "other", 25, top=90)
    (line, *_) = fid(capsys, one, "--reference", other, "--resolution", 16)
    assert "20 samples at 16 px, reference other [" in line
    assert line.endswith("at 16 px (25))")
    (line, *_) = fid(capsys, one, "--reference", other)
    assert line.endswith("at own size (25))")


def test_a_folder_that_changed_in_place_has_another_distance(capsys, tmp_path):
    """It had the old one, as the names and sizes of its files were the same."""
    real = folder_of_noise(tmp_path / "real", 20, suffix=".bmp")
    pictures = folder_of_noise(tmp_path / "set", 20, suffix=".bmp")
    (same, *_) = fid(capsys, pictures, "--reference", real)
    assert same.startswith("Fréchet distance 0.0000 ")
    for path in pictures.iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 2).save(path)
    (changed, *_) = fid(capsys, pictures, "--reference", real)
    assert not changed.startswith("Fréchet distance 0.0000 ")
    (turned, *_) = fid(capsys, real, "--reference", pictures)
    (before, *_) = fid(capsys, pictures, "--reference", tmp_path / "real")
    protocols = {line.partition("(")[2] for line in (same, changed, before)}
    assert len(protocols) == 1
    assert turned.partition("(")[2] not in protocols


def test_both_sides_are_brought_to_a_resolution_that_belongs_to_the_protocol(capsys, tmp_path):
    plain = fid(capsys, NAME, "--count", 40)
    made = sorted((tmp_path / "storage" / "statistics").iterdir())
    assert fid(capsys, NAME, "--count", 40, "--resolution", 32) == plain  # the generator's own
    assert sorted((tmp_path / "storage" / "statistics").iterdir()) == made
    lines = fid(capsys, NAME, "--count", 40, "--resolution", 16, "--save", "small.npz")
    sets = []
    for source in (GeneratedPictures(load_generator(NAME), 40), ScenesPictures(40)):
        (pictures,) = source.batches(range(40))
        small = F.interpolate(pictures, size=(16, 16), mode="bilinear", antialias=True)
        sets.append(collect_statistics([small], scenes_features(), source=source.name, count=40))
    want = compare(*sets)
    assert lines == [
        f"Fréchet distance {want.value:.4f} (scenes-features-v3, 40 samples at 16 px)",
        f"kernel distance {want.kernel.value:.6f} ({want.kernel.protocol} at 16 px)",
        _shares(want, " at 16 px"),
    ]
    # A file says to which side its pictures were brought.
    lines = fid(capsys, NAME, "--count", 40, "--reference", "small.npz")
    assert f"reference {NAME} at 16 px (40)" in lines[0]


def test_pictures_of_several_sizes_need_a_resolution(capsys, tmp_path):
    one = folder_of_noise(tmp_path / "one", 20, side=24)
    folder_of_noise(tmp_path / "other", 20)
    both = [str(one), "--reference", str(tmp_path / "other")]
    for words in (both, [str(one)]):
        assert main(["fid", *words]) == 2
        assert "several sizes (24x24, 32x32): say to which side" in capsys.readouterr().err
        assert "20 samples at 32 px" in fid(capsys, *words, "--resolution", 32)[0]
    assert fid(capsys, tmp_path / "other")[0].endswith("(scenes-features-v3, 20 samples)")


def test_statistics_of_another_width_name_both_files_and_widths(capsys, tmp_path):
    folder = folder_of_noise(tmp_path / "noise", 3)
    np.savez(tmp_path / "narrow.npz", mu=np.zeros(8), sigma=np.eye(8))
    assert main(["fid", str(folder), "--reference", "narrow.npz"]) == 2
    said = capsys.readouterr().err
    assert re.search(r"noise and narrow\.npz: .* has 64 features .* narrow\.npz .* 8: take", said)
    assert said.count("\n") == 1


def test_truncation_and_classes_reach_the_generator(capsys):
    plain = fid(capsys, NAME, "--count", 40)
    truncated = fid(capsys, NAME, "--count", 40, "--truncation", 0.1)
    assert plain[0] != truncated[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["analytic.elipses32"], "Unknown generator"),
        ([NAME, "--reference", "absent.npz"], "absent.npz cannot be read"),
        ([NAME, "--features", "incption"], "did you mean 'inception'"),
        ([NAME, "--classes", "3"], "asked for class 3"),
        ([NAME, "--embeddings", "e.npy", "--truncation", "1"], "no effect with --embeddings"),
        ([NAME, "--cuont", "3"], "did you mean --count"),
        ([NAME, "--count", "0"], "--count: expected a whole number >= 1, got '0'"),
    ],
)
def test_mistakes_cost_one_line(capsys, words, message):
    assert main(["fid", *words]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
