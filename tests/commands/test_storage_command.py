"""The command ``gseg storage``: what it shows, asks and deletes."""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gseg.cli import main
from gseg.commands.app import run as run_app
from gseg.commands.run import recipe_app
from gseg.directions.config import SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.inventory import survey
from gseg.pipeline.rows import merge_rows, read_rows
from gseg.pipeline.trial import run_trial
from gseg.recipes.recipe import Recipe
from gseg.samples.config import SampleConfig, filter_preset
from gseg.segmenters.config import FitConfig
from gseg.storage.mirror import names, storage_folder

PRUNE = ("storage", "--prune", "--recent")


@pytest.fixture(autouse=True)
def _apart(apart):
    """Work in an empty folder, and never start Ray."""


def experiment(**varied):
    search = SearchConfig(steps=2, batch=4)
    samples = SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none"))
    small = Experiment(
        generator="analytic.ellipses32",
        search=search,
        samples=samples,
        data_size=12,
        validation_size=4,
        training=FitConfig(steps=2, batch=4, decay_at=None, width=4, depth=2),
    )
    return replace(small, **varied)


def first(_grid, _axes):
    return [experiment()]


def second(_grid, _axes):
    """A trial that shares the first one's samples, and one that shares its direction."""
    own = replace(experiment().samples, epsilon=0.5)
    return [experiment(data_size=10), experiment(samples=own)]


def sweep(recipe, *words):
    facts = {"shows": "", "takes": "", "about": "What it does.", "generators": ("embedded",)}
    app = recipe_app(Recipe(name=recipe.__name__, make=recipe, rules=(), **facts))
    assert run_app(app, ["--benchmark", "scenes:20", *words]) == 0


@pytest.fixture(scope="module")
def _finished(tmp_path_factory):
    """Storage and rows of both sweeps."""
    folder = tmp_path_factory.mktemp("finished")
    setting = Context(storage=folder / "storage", benchmarks=("scenes:20",))
    backend = RayBackend(Resources(placement="process"))
    for recipe in (first, second):
        for each in recipe(None, None):
            merge_rows(folder / "results" / recipe.__name__, run_trial(each, setting, backend))
    return folder


@pytest.fixture
def both(_finished, tmp_path):
    """Two finished sweeps in one storage."""
    shutil.copytree(_finished, tmp_path, dirs_exist_ok=True)


def stamps(folder="storage"):
    """Give the files of a folder, and when each was written."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def scores_of(rows):
    return {(row["experiment"], row["scores"], row["iou"], row["finished"]) for row in rows}


def test_what_one_sweep_alone_needed_goes_and_the_other_is_found(points_here, capsys):
    sweep(first)
    sweep(second)
    assert points_here.tried == [0, 0, 1]
    before, rows = stamps(), read_rows(Path("results/first"))
    needed = {each.place for each in survey(Path("storage"), [Path("results/first")]).of("needed")}
    for path in Path("results/second").iterdir():
        path.unlink()
    assert main([*PRUNE, "--yes"]) == 0
    said = capsys.readouterr().out
    # Of the second: two segmenters, two scores, two sets, one of them to measure with.
    assert re.search(r"^deleted 6 artifacts, [\d.]+ KiB$", said, re.MULTILINE), said
    after = stamps()
    assert after == {path: at for path, at in before.items() if path in after}
    artifacts = {path for path in after if not path.startswith("builds/")}
    assert {path.rpartition("/")[0] for path in artifacts} == needed
    points_here.tried.clear()
    sweep(first)
    assert points_here.tried == []
    assert stamps() == after
    assert scores_of(read_rows(Path("results/first"))) == scores_of(rows)
    sweep(second)
    assert points_here.tried == [0, 1]
    assert set(stamps()) >= {path for path in before if not path.startswith("builds/")}
    assert main(["storage"]) == 0
    assert "to delete: nothing" in capsys.readouterr().out


def test_looking_changes_nothing_and_fits_into_a_terminal(both, capsys, monkeypatch):
    before = stamps(".")
    capsys.readouterr()
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["storage", "--results", "results/first", "--recent"]) == 0
    said = capsys.readouterr().out
    assert stamps(".") == before
    assert max(map(len, said.splitlines())) <= 80
    assert re.search(
        r"^ *segmenter +3 +[\d.]+ KiB +2 +[\d.]+ KiB +2 +[\d.]+ KiB", said, re.MULTILINE
    )
    assert re.search(r"^ *direction +1 +[\d.]+ KiB *$", said, re.MULTILINE)
    assert re.search(r"^to delete: 6 artifacts, [\d.]+ KiB \(--prune\)$", said, re.MULTILINE)
    assert re.search(r"^free on the disk of storage: [\d.]+ [GT]iB$", said, re.MULTILINE)


def test_what_is_young_is_kept_and_told(both, capsys):
    before = stamps()
    words = ("storage", "--results", "results/first", "--prune", "--yes")
    assert main(words) == 0
    assert "kept, of the last day or younger than the last row: 6 art" in capsys.readouterr().out
    assert stamps() == before
    then = time.time() - 2 * 24 * 3600
    for path in Path("storage").rglob("*"):
        os.utime(path, (then, then))
    assert main(words) == 0
    assert "deleted 6 artifacts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "deletes"),
    [
        ("y", True),
        ("YES", True),
        ("", False),
        ("n", False),
        ("of course", False),
        (EOFError, False),
    ],
)
def test_it_asks_on_a_terminal(both, capsys, monkeypatch, answer, deletes):
    before, asked = stamps(), []

    def ask(question):
        asked.append(question)
        if answer is EOFError:
            raise EOFError
        return answer

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ask)
    assert main([*PRUNE, "--results", "results/first"]) == 0
    (question,) = asked
    assert re.fullmatch(r"Delete these 6 artifacts, [\d.]+ KiB\? \[y/N\] ", question)
    assert (stamps() != before) == deletes


def test_without_a_terminal_it_wants_yes(both, capsys):
    before = stamps()
    capsys.readouterr()
    assert main([*PRUNE, "--results", "results/first"]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert "add --yes" in said.err
    assert stamps() == before


def test_what_has_come_to_be_needed_before_the_answer_stays(both, capsys, monkeypatch):
    rows = Path("results/second")
    rows.rename("aside")

    def ask(_):
        Path("aside").rename(rows)
        return "y"

    before = stamps()
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ask)
    assert main(PRUNE) == 0
    assert "deleted 0 artifacts" in capsys.readouterr().out
    assert stamps() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--storage nowhere", "There is no folder nowhere"),
        ("--storage first.txt", "There is no folder first.txt"),
        ("--prune --yes --results results nowhere", "There is no folder nowhere"),
        ("--prune --yes --results storage", "Nothing is deleted. There are no rows in storage"),
        ("--prune --yes --results nowhere", "Nothing is deleted. There is no folder nowhere"),
        ("--prune --yes --results results/damaged", "Nothing is deleted. Cannot read the rows in"),
        ("--prune --yes --storage other", "rows is of other, so that all"),
    ],
)
def test_it_refuses_in_a_line_what_it_cannot_know(both, capsys, words, said):
    Path("first.txt").write_text("1")
    Path("other").mkdir()
    Path("results/damaged").mkdir()
    if "damaged" in words:
        Path("results/damaged/rows.parquet").write_text("1")
    before = stamps()
    capsys.readouterr()
    assert main(["storage", *words.split()]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert said in err
    assert stamps() == before


def test_looking_at_a_storage_without_rows_says_why_no_more_is_known(both, capsys):
    assert main(["storage", "--results", "nowhere"]) == 0
    assert "What no row needs cannot be said. There is no folder nowhere" in (
        capsys.readouterr().out
    )


def test_on_an_object_store(points_here, bucket, capsys):
    place = f"{bucket}/run"
    sweep(first, "--storage", place)
    sweep(second, "--storage", place)
    before = set(names(storage_folder(place)))
    words = ("--storage", place, "--results", "results/first", "--yes")
    assert main([*PRUNE, *words]) == 0
    said = capsys.readouterr().out
    assert "deleted 6 artifacts" in said
    assert re.search(r"^copies on this machine: [\d.]+ KiB in /.*/s3:/", said, re.MULTILINE)
    assert set(names(storage_folder(place))) < before
    points_here.tried.clear()
    sweep(first, "--storage", place)
    assert points_here.tried == []


def test_it_loads_neither_pytorch_nor_ray(both):
    program = (
        "import sys; from gseg.cli import main\n"
        "assert main(['storage', '--results', 'results/first']) == 0\n"
        "assert not {'torch', 'ray', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
