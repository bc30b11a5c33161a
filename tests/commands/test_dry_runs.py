"""A dry run makes nothing: no folder, no probe, no embeddings, no network; and tells the plan."""

import re
from pathlib import Path

import pytest

from gseg.commands.app import run as run_app
from gseg.commands.run import recipes_app
from gseg.commands.search import app as search
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.trial import sample_nodes
from gseg.recipes.grids import grids
from gseg.recipes.recipe import recipes
from gseg.recipes.voynov2021 import voynov_table_1
from gseg.storage.store import Store


@pytest.fixture
def script(apart, capsys):
    """Run a script in a folder of its own; gives exit status and standard output."""

    def call(name, *arguments):
        status = run_app(recipes_app(), [name, *arguments])
        shown = capsys.readouterr()
        assert shown.err == ""
        return status, shown.out

    return call


def _everything(folder):
    """All that is below a folder: names, bytes and times."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("name", recipes())
def test_a_dry_run_of_every_recipe_leaves_no_trace(script, tmp_path, name):
    status, out = script(name, "--dry-run", "--preset", "smoke")
    assert status == 0
    assert out
    assert not list(tmp_path.iterdir())


def test_a_dry_run_of_a_search_leaves_no_trace(script, tmp_path):
    words = ["--space", "epsilon=1,2", "--generators", "analytic.ellipses8"]
    assert run_app(search, ["--dry-run", "--preset", "smoke", *words]) == 0
    assert not list(tmp_path.iterdir())


def test_the_storage_stays_as_it_was(script, tmp_path):
    for folder in ("storage", "results"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine").write_text("mine")
    before = _everything(tmp_path)
    assert script("voynov_table_1", "--dry-run", "--preset", "smoke")[0] == 0
    assert script("table_13", "--dry-run", "--preset", "smoke")[0] == 0
    assert _everything(tmp_path) == before


def _told(out):
    """The numbers of the plan by kind, 1 for those in the singular."""
    (line,) = re.findall(r"to do: (.*?): \d+ stages", out)
    return {
        name if number == "1" else name.removesuffix("s"): int(number)
        for number, name in (part.split(" ", 1) for part in line.split(", "))
    }


def test_embeddings_are_a_stage_until_they_are_there(script):
    _, out = script("voynov_table_1", "--dry-run", "--preset", "smoke")
    assert _told(out)["embedding"] == 1
    assert "planned" not in out
    experiment = voynov_table_1(grids()["smoke"], {})[-1]
    (node, *_) = sample_nodes(experiment, "cpu")
    Workshop(Store(Path("storage")), LocalBackend()).make(node.embeddings)
    _, out = script("voynov_table_1", "--dry-run", "--preset", "smoke")
    assert "embedding" not in _told(out)


def test_the_network_that_stands_for_another_model_is_a_stage(script):
    _, out = script("voynov_table_5", "--dry-run", "--preset", "smoke")
    told = _told(out)
    assert told["embedding"] == 1
    assert told["segmenter"] == 1 + 2 + 1  # the labeller, two trials, and one taught by a rule
    assert told["relabelling"] == 2  # of the samples to train on and of the held-out ones


def test_figures_tell_of_the_direction_that_they_need(script):
    status, out = script("voynov_figures", "--dry-run", "--preset", "smoke")
    assert status == 0
    assert out.startswith("voynov_figures: 1 directions, 0 of them found")


def test_labelled_scenes_are_read_from_elsewhere(script):
    """Labelled pictures alone, all samples, the nearest, both with labelled, a rule's masks."""
    _, out = script("table_13", "--dry-run", "--preset", "smoke")
    told = _told(out)
    assert (told["selection"], told["segmenter"], told["scoring"]) == (1, 6, 6 + 3)
