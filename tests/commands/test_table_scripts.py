"""Every script of a table, in this process, up to the plan; and one of them to the end."""

import runpy
import sys
from pathlib import Path

import pandas as pd
import pytest
import ray

SWEEPS = Path(__file__).parents[2] / "sweeps"
TRIALS = {
    "table_1": 2,
    "table_2": 12,
    "table_6": 8,
    "table_7": 8,
    "table_8": 8,
    "table_10": 4,
    "table_11": 2,
    "table_12": 1,
    "table_13": 5,
    "table_14": 14,
    "table_15": 2,
    "failure_cases": 2,
}
DIRECTIONS = {"table_9": 5, "initialisations": 10, "strips": 4}


@pytest.fixture
def script(tmp_path, monkeypatch, capsys):
    """Run a script in an empty folder; gives exit status, standard output and standard error."""

    def refuse(*_, **__):
        raise AssertionError("started Ray")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setenv("GSEG_WEIGHTS", str(tmp_path / "no weights"))
    monkeypatch.delenv("GSEG_BENCHMARKS", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(SWEEPS / f"{name}.py"), run_name="__main__")
        shown = capsys.readouterr()
        return left.value.code, shown.out, shown.err

    return call


@pytest.mark.parametrize("name", TRIALS)
def test_trials_of_each_table(script, name):
    status, out, err = script(name, "--dry-run")
    assert (status, err) == (0, "")
    assert out.startswith(f"{name}: {TRIALS[name]} trials, 0 of them finished")
    assert not list(Path("storage").glob("*/*"))


@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions_of_each_table(script, name):
    status, out, err = script(name, "--dry-run")
    assert (status, err) == (0, "")
    assert out.startswith(f"{name}: {DIRECTIONS[name]} directions")
    assert out.count("seed=") == DIRECTIONS[name]
    assert not Path("storage").exists()


@pytest.mark.parametrize("name", [*TRIALS, *DIRECTIONS])
def test_help_explains_and_scripts_are_short(script, name):
    status, out, _ = script(name, "--help")
    assert status == 0
    assert "Melas-Kyriazi et al. 2022" in out
    assert "--grid paper" in out
    assert len((SWEEPS / f"{name}.py").read_text().splitlines()) < 80


def test_pictures_of_table_13_may_be_one_s_own(script):
    status, _, err = script(
        "table_13", "--dry-run", "--labelled", "folder:nowhere", "--nearest", "."
    )
    assert status == 2
    assert "nowhere" in err
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table_1", "Where is DUTS-TE?"),
        ("table_9", "weights of bigbigan.imagenet128 are not here"),
        ("table_11", "no StyleGAN2 trained on Flowers"),
        ("table_13", "name both, --labelled folder:PATH"),
    ],
)
def test_the_paper_s_form_says_what_it_lacks(script, name, message):
    status, _, err = script(name, "--grid", "paper", "--dry-run")
    assert status == 2
    assert message in err
    assert not Path("results").exists()


def test_unknown_generators_are_named(script):
    status, _, err = script("table_9", "--generators", "bigbigan.scenes32-big")
    assert status == 2
    assert "did you mean 'bigbigan.scenes32-large'?" in err


def test_a_table_of_directions_to_the_end(script):
    generators = ("--generators", "analytic.ellipses16", "analytic.ellipses8")
    here = ("--grid", "smoke", "--processes", "1")
    status, out, err = script("table_9", *here, *generators, "--seeds", "0", "1")
    assert (status, err) == (0, "")
    rows = pd.read_parquet("results/table_9")
    assert list(rows["direction_seed"]) == [0, 1, 0, 1]
    assert rows["cosine"].between(-1, 1).all()
    assert f"{rows['cosine'][2:].mean():.4f} ± {rows['cosine'][2:].std():.4f}" in out
    status, out, _ = script("strips", *here, *generators[:2])
    assert status == 0
    assert Path("results/strips_figures/strips.png").read_bytes().startswith(b"\x89PNG")
