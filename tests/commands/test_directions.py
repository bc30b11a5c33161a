"""gseg directions choose: what it writes, that it goes on, and what it refuses."""

import pandas as pd
import pytest
import torch
from PIL import Image

from gseg.cli import main
from gseg.directions.candidates import load_candidates
from gseg.directions.direction import Direction

QUICK = ["directions", "choose", "analytic.ellipses32", "--pictures", "4"]
EPSILON = ["--epsilon", "1"]


def test_it_writes_direction_table_candidates_and_figure(capsys, tmp_path) -> None:
    assert main([*QUICK, *EPSILON, "--count", "6", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    table = pd.read_parquet(tmp_path / "candidates.parquet")
    chosen = int(table[table.chosen].number.iloc[0])
    assert f"candidate {chosen} of 6 (random)" in shown
    vector = load_candidates(tmp_path)[chosen]
    direction = Direction.load(tmp_path)
    torch.testing.assert_close((direction.lighter @ vector).abs(), torch.tensor(1.0))
    assert ("its opposite" in shown) == bool(direction.lighter @ vector < 0)
    with Image.open(tmp_path / "choice.png") as figure:
        assert figure.width > figure.height > 300
        assert len(set(figure.convert("L").resize((64, 64)).tobytes())) > 20


def test_learnt_candidates_and_the_other_rule(capsys, tmp_path) -> None:
    words = ["--candidates", "learnt", "--steps", "2", "--count", "3", "--rule", "affine_ratio"]
    assert main([*QUICK, *EPSILON, *words, "--out", str(tmp_path)]) == 0
    assert "(learnt, " in capsys.readouterr().out
    table = pd.read_parquet(tmp_path / "candidates.parquet")
    assert table.two_affine_ratio.idxmin() == table[table.chosen].number.iloc[0]
    assert not (tmp_path / "training.pt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epsilon", "0"], "epsilon must be a positive number, got 0.0"),
        (["--count", "0"], ">= 1, got"),
        (["--steps", "5"], "add --candidates learnt"),
        (["--layer", "blocks.0"], "add --candidates pca"),
        (["--candidates", "closed_form"], "no architecture whose first layers are known"),
        (["--candidates", "sefa"], 'Choose from: "random", "learnt", "pca", "closed_form"'),
    ],
)
def test_mistakes_are_explained(capsys, tmp_path, words, message) -> None:
    assert main([*QUICK, *words, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
