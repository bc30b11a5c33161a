"""``gseg embed`` from the command line."""

import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gseg.cli import main
from gseg.scenes.pictures import render

NAME = "bigbigan.scenes32-large"


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "pictures"
    place.mkdir()
    for number, picture in enumerate(render(range(3)).pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(place / f"{number}.png")
    return place


def test_latents_of_a_folder_in_both_forms(folder, tmp_path, capsys):
    out = tmp_path / "out" / "latents.npy"
    assert main(["embed", str(folder), "--encoder", NAME, "--out", str(out)]) == 0
    assert "latents of 3 pictures, 64 wide" in capsys.readouterr().out
    assert np.load(out).shape == (3, 64)
    assert list(pd.read_parquet(out.with_suffix(".parquet")).picture) == [
        "0.png",
        "1.png",
        "2.png",
    ]
    assert sorted(path.name for path in out.parent.iterdir()) == ["latents.npy", "latents.parquet"]


def test_a_broken_file_stops_or_is_skipped(folder, tmp_path, capsys):
    (folder / "1b.png").write_bytes(b"\x89PNG")
    words = ["embed", str(folder), "--encoder", NAME, "--out", str(tmp_path / "l.npy")]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "1b.png" in told
    assert "--skip-bad" in told
    assert not (tmp_path / "l.npy").exists()
    assert main([*words, "--skip-bad"]) == 1
    told = capsys.readouterr().out
    assert "skipped: " in told
    assert "1b.png" in told
    assert np.load(tmp_path / "l.npy").shape == (3, 64)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--encoder", NAME, "--out", "l.txt"], "ends in .npy"),
        (["--encoder", "sngan.scenes32", "--out", "l.npy"], "No encoder ships"),
        (["--encoder", NAME, "--for", "sngan.scenes32", "--out", "l.npy"], "no latents of sngan"),
        (["--encoder", NAME, "--size", "64", "--out", "l.npy"], "takes pictures of 32 pixels"),
        (["--encoder", "none.py:f", "--size", "8", "--out", "l.npy"], "there is no such file"),
    ],
)
def test_mistakes_are_told(folder, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["embed", str(folder), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_there(tmp_path, capsys):
    words = ["--encoder", NAME, "--out", str(tmp_path / "l.npy")]
    assert main(["embed", str(tmp_path / "none"), *words]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert main(["embed", "scenes:none", *words]) == 2
    assert "needs a number of pictures after" in capsys.readouterr().err


def test_a_name_that_is_no_utf_8_is_told(folder, tmp_path, capsys):
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    words = ["embed", str(folder), "--encoder", NAME, "--out", str(odd / "l.npy")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "caf\\udce9" in said
    assert "is no name in UTF-8" in said
    assert said.count("\n") == 1
