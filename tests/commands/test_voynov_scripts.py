"""Every script of Voynov et al. 2021, in this process, up to the plan."""

from pathlib import Path

import numpy as np
import pytest

from gseg.commands.app import run as run_app
from gseg.commands.run import recipes_app

TRIALS = {
    "voynov_table_1": 9,
    "voynov_table_1_flowers": 9,
    "voynov_table_2": 6,
    "voynov_table_3": 9,
    "voynov_table_4": 15,
    "voynov_table_5": 6,
    "voynov_figure_5": 21,
    "both_papers": 36 + 1,
}
"""Trials of three runs; of one with both papers, which have a ceiling too. In each run a network
learns from a rule besides."""


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """Run a script in an empty folder with embeddings and a labeller."""
    monkeypatch.chdir(tmp_path)
    np.save("embeddings.npy", np.zeros((5, 64), dtype=np.float32))
    Path("mine.py").write_text("def dark(x):\n    return x.mean(1) < 0\n")

    def call(name, *arguments):
        status = run_app(recipes_app(), [name, *arguments])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


@pytest.mark.parametrize("name", TRIALS)
def test_trials_of_each_script(script, name):
    words = [] if name == "both_papers" else ["--embeddings", "embeddings.npy"]
    if name == "voynov_table_5":
        words += ["--labeller", "mine.py:dark"]
    status, out, err = script(name, "--dry-run", *words)
    assert (status, err) == (0, "")
    runs = 1 if name == "both_papers" else 3
    assert out.startswith(f"{name}: {TRIALS[name] + runs} trials, 0 of them finished")
    assert not list(Path("storage").glob("*/*"))


def test_seeds_may_be_given(script):
    words = ("--dry-run", "--embeddings", "embeddings.npy", "--seeds", "4")
    assert script("voynov_table_4", *words)[1].startswith("voynov_table_4: 6 trials")


def test_mistakes_are_told_with_a_next_step(script):
    status, _, err = script("voynov_table_4", "--dry-run", "--preset", "paper")
    assert status == 2
    assert "--embeddings FILE.npy" in err
    np.save("wide.npy", np.zeros((5, 120), dtype=np.float32))
    status, _, err = script("voynov_table_2", "--dry-run", "--embeddings", "wide.npy")
    assert status == 2
    assert "width 120" in err
    words = ("--dry-run", "--embeddings", "embeddings.npy", "--labeller", "none.py:f")
    status, _, err = script("voynov_table_5", *words)
    assert status == 2
    assert "there is no such file" in err
    status, _, err = script("voynov_table_4", "--dry-run", "--embeddings", "none.npy")
    assert status == 2
    assert "no such file of embeddings" in err
