"""Every script of a table, in this process, up to the plan; and one of them to the end."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gseg.commands.app import run as run_app
from gseg.commands.run import recipes_app
from gseg.recipes.recipe import recipes

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
"""Of generators and with labels; one more for each rule that a network learns from."""
DIRECTIONS = {"table_9": 5, "initialisations": 10, "strips": 4}


@pytest.fixture
def script(apart, tmp_path, monkeypatch, capsys):
    """Run a script in an empty folder; gives exit status, standard output and standard error."""

    monkeypatch.setenv("GSEG_WEIGHTS", str(tmp_path / "no weights"))
    monkeypatch.delenv("GSEG_BENCHMARKS", raising=False)

    def call(name, *arguments):
        status = run_app(recipes_app(), [name, *arguments])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


@pytest.mark.parametrize("name", TRIALS)
def test_trials_of_each_table(script, name):
    status, out, err = script(name, "--dry-run")
    assert (status, err) == (0, "")
    count = TRIALS[name] + len(recipes()[name].rules)
    assert out.startswith(f"{name}: {count} trials, 0 of them finished")
    assert out.count("  distilled ") == len(recipes()[name].rules)
    assert not list(Path("storage").glob("*/*"))


@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions_of_each_table(script, name):
    status, out, err = script(name, "--dry-run")
    assert (status, err) == (0, "")
    assert out.startswith(f"{name}: {DIRECTIONS[name]} directions")
    assert out.count("seed=") == DIRECTIONS[name]
    assert not Path("storage").exists()


@pytest.mark.parametrize("name", recipes())
def test_help_tells_of_the_recipes_that_are_named(script, name):
    status, out, _ = script(name, "--help")
    assert status == 0
    assert f"{recipes()[name].paper}, {recipes()[name].shows.split()[0]}" in out
    assert "--preset" in out


def test_the_list_names_every_recipe_with_its_time_and_what_it_shows(script):
    _, out, _ = script("--list")
    for recipe in recipes().values():
        assert re.search(
            rf"^  {recipe.name} +{recipe.takes}  {re.escape(recipe.shows)}$", out, re.M
        )
    assert script("tabel_7")[2] == (
        'run: Invalid value "tabel_7" for NAMES. Did you mean "table_7"?\n'
    )


@pytest.mark.parametrize("name", ["all_gans", "paper", "search"])
def test_scripts_are_short_and_work_from_anywhere(tmp_path, name):
    script = Path(__file__).parents[2] / "sweeps" / f"{name}.py"
    assert len(script.read_text().splitlines()) < 20
    done = subprocess.run(
        [sys.executable, str(script), "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        timeout=120,
    )
    assert "--preset" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("table_9", "--data-size", "5"), "no effect on table_9, which ends with a direction"),
        (
            ("table_1", "--labeller", "a.py:f"),
            "no effect on table_1: leave it out, or run voynov",
        ),
    ],
)
def test_options_that_mean_nothing_to_a_recipe_are_refused(script, words, message):
    status, out, err = script(*words)
    assert (status, out) == (2, "")
    assert message in err


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
    status, _, err = script(name, "--preset", "paper", "--dry-run")
    assert status == 2
    assert message in err
    assert not Path("results").exists()


def test_unknown_generators_are_named(script):
    status, _, err = script("table_9", "--generators", "bigbigan.scenes32-big")
    assert status == 2
    assert "did you mean 'bigbigan.scenes32-large'?" in err


def test_directions_that_wait_for_the_next_run_are_not_found_ones(script):
    status, out, err = script("table_9", "--dry-run", "--max-trials", "1")
    assert (status, err) == (0, "")
    assert out.startswith("table_9: 5 directions, 0 of them found")
    assert out.count("seed=") == 1


def test_a_table_of_directions_to_the_end(script, points_here):
    generators = ("--generators", "analytic.ellipses16", "analytic.ellipses8")
    here = ("--preset", "smoke", "--concurrency", "1")
    status, out, err = script("table_9", *here, *generators, "--seeds", "0", "1")
    assert (status, err) == (0, "")
    rows = pd.read_parquet("results/table_9")
    assert list(rows["direction_seed"]) == [0, 1, 0, 1]
    assert rows["cosine"].between(-1, 1).all()
    assert f"{rows['cosine'][2:].mean():.4f} ± {rows['cosine'][2:].std():.4f}" in out
    status, out, _ = script("strips", *here, *generators[:2])
    assert status == 0
    assert Path("results/strips_figures/strips.png").read_bytes().startswith(b"\x89PNG")
