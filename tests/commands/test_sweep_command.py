import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from parsed_options import parsed_options
from PIL import Image

from gseg.commands.app import run as run_app
from gseg.commands.given import typed
from gseg.commands.options import FIRST
from gseg.commands.run import recipe_app
from gseg.directions.config import SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.failures import note_failure
from gseg.pipeline.rows import merge_rows, read_rows
from gseg.pipeline.trial import run_trial
from gseg.recipes.melas2022 import all_gans
from gseg.recipes.recipe import Recipe
from gseg.samples.config import SampleConfig, filter_preset
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.search.evaluate import SweepWork
from gseg.segmenters.config import FitConfig
from gseg.storage.store import Store

GENERATOR = "analytic.ellipses32"
TINY = ("--benchmark", "scenes:30")


@pytest.fixture(autouse=True)
def _apart(apart, tmp_path, monkeypatch):
    """Work in an empty folder, and never start Ray."""

    monkeypatch.setenv("GSEG_WEIGHTS", str(tmp_path / "no weights"))


@pytest.fixture
def run(capsys):
    """Run the command; gives exit status, standard output and standard error."""

    def call(*arguments, name="all_gans", recipe=all_gans, rules=()):
        facts = {"shows": "", "takes": "", "about": "What it does.", "generators": ("embedded",)}
        facts["rules"] = rules
        status = run_app(recipe_app(Recipe(name=name, make=recipe, **facts)), arguments)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


def _tiny(grid, axes):
    """Two trials of a second, on the generator in closed form, whatever grid and axes say."""
    small = Experiment(
        generator=GENERATOR,
        search=SearchConfig(steps=2, batch=4),
        samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
        data_size=12,
        validation_size=4,
        training=FitConfig(steps=2, batch=4, decay_at=None, width=4, depth=2),
        recipe="tiny",
    )
    return [replace(small, data_size=16), small]


@pytest.fixture(scope="module")
def finished_storage(tmp_path_factory):
    """What the two trials leave in a storage."""
    setting = Context(storage=tmp_path_factory.mktemp("storage"), benchmarks=("scenes:30",))
    for experiment in _tiny(None, None):
        run_trial(experiment, setting, RayBackend(Resources(placement="process")))
    return setting.storage


@pytest.fixture
def finished(finished_storage, tmp_path):
    """A storage in which both trials are finished."""
    shutil.copytree(finished_storage, tmp_path / "storage")
    return tmp_path / "storage"


@pytest.fixture
def unscored(finished):
    """A storage in which only the scores are missing."""
    shutil.rmtree(finished / "scores")
    return finished


# ------------------------------------------------------------------ what is wrong with the input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--generators gan.scenes32", "Unknown generator 'gan.scenes32'; did you mean 'ggan.scene"),
        ("--generators embeded", "did you mean 'embedded'?"),
        ("--generators ggan.scenes32 sagann.imagenet128", "did you mean 'sagan.imagenet128'?"),
        ("--generators analytic.ellipse32", "Unknown generator 'analytic.ellipse32'"),
        ("--generators sagan.imagenet128", "weights of sagan.imagenet128 are not here"),
        ("--generators sagan.imagenet128 --weights nowhere", "of sagan.imagenet128 are not here"),
        ("--generators mine.py:make", "mine.py: there is no such file"),
        ("--benchmark scene", "Unknown benchmark 'scene'; did you mean 'scenes'?"),
        ("--benchmark fodler:x", "did you mean 'folder:x'?"),
        ("--benchmark scenes:0", "'scenes:0' needs a number of pictures"),
        ("--benchmark scenes:many", "'scenes:many' needs a number of pictures"),
        ("--benchmark folder:", "needs a path after the colon"),
        ("--benchmark folder:missing", "No folder"),
        ("--benchmark scenes scenes", "--benchmark: scenes is given twice"),
        ("--contrast-weight 0", "contrast_weight must be a positive number, got 0"),
        ("--contrast-weight 5 -2.5", "contrast_weight must be a positive number, got -2.5"),
        ("--contrast-weight nan", "--contrast-weight: expected a finite number"),
        (
            "--contrast-weight strong",
            'Invalid value for --contrast-weight: unable to convert "strong" into float.',
        ),
        ("--epsilon 0", "epsilon must be a positive number, got 0"),
        ("--epsilon -1", "epsilon must be a positive number, got -1"),
        ("--epsilon inf", "--epsilon: expected a finite number"),
        ("--data-size 0", "data size must be at least 1, got 0"),
        ("--data-size 100 -4", "data_size must be a whole number of at least 0, got -4"),
        ("--data-size 1.5", "--data-size: expected a whole number, got '1.5'"),
        ("--data-size", "--data-size needs a value"),
        ("--seeds -1", "seed is 0 or more, got -1"),
        (
            "--mask-kind brighter",
            'Invalid value "brighter" for --mask-kind. Choose from: "lighter"',
        ),
        ("--preset papre", 'Invalid value "papre" for --preset.'),
        ("--preset papr", 'Did you mean "paper"?'),
        ("--grid smoke", "--grid is called --preset now."),
        ("--data-sise 100", "unknown option --data-sise; did you mean --data-size?"),
        ("--generator ggan.scenes32", "unknown option --generator; did you mean --generators?"),
        ("--dryrun", "unknown option --dryrun; did you mean --dry-run?"),
        ("--storage=a --epsil=1", "unknown option --epsil; did you mean --epsilon?"),
        ("surplus", "surplus"),
        ("--workers 0", "--workers: expected a whole number >= 1, got '0'"),
        ("--workers 33 --cpus 64", "33 replicas cannot share a batch of 16"),
        ("--workers 3 --cpus 2", "this machine's Ray has 2 CPUs"),
        ("--cpus some", "--cpus: expected a whole number >= 1, got 'some'"),
        ("--concurrency -1", "--concurrency: expected a whole number >= 0, got '-1'"),
        ("--actors -1", "--actors: expected a whole number >= 0, got '-1'"),
        ("--drawers 2", "--drawers is called --actors now."),
        ("--min-drawers=2", "--min-drawers is called --min-actors now."),
        ("--gpus-per-trial -1", "finite and not negative"),
        ("--gpus-per-trial 0.5", "PyTorch sees no GPU on this machine"),
    ],
)
def test_a_mistake_costs_one_line_and_no_work(run, monkeypatch, tmp_path, arguments, message):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    status, out, err = run(*arguments.split())
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert out == ""
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_mistake_shows_no_stack_trace():
    """The whole process, as a user starts it."""
    root = Path(__file__).parents[2]
    command = [sys.executable, str(root / "sweeps" / "all_gans.py"), "--benchmark", "scens"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 2
    assert done.stderr.startswith("all-gans: Unknown benchmark 'scens'; did you mean 'scenes'?")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize("option", ["--storage", "--results"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_file_in_the_way_is_named(run, tmp_path, option, inside):
    (tmp_path / "file").write_text("mine")
    place = tmp_path / "file" / "inside" if inside else tmp_path / "file"
    status, out, err = run(option, str(place))
    assert status == 2
    assert f"{option}: {place}" in err
    assert "is a file" in err
    assert err.count("\n") == 1
    assert out == ""
    assert (tmp_path / "file").read_text() == "mine"


def test_results_whose_name_is_taken_by_a_file(run, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "all_gans").write_text("mine")
    status, _, err = run()
    assert status == 2
    assert "Cannot write results to results/all_gans: File exists" in err


def test_damaged_results_are_written_anew_from_the_storage(run, tmp_path, points_here):
    def sweep(*words):
        return run(*TINY, *words, name="tiny", recipe=_tiny)

    assert sweep()[0] == 0
    path = tmp_path / "results" / "tiny" / "rows.parquet"
    before = [row["scores"] for row in read_rows(path.parent)]
    path.write_bytes(b"PAR1 no more")
    status, _, err = sweep("--dry-run")
    assert status == 0
    assert "results/tiny/rows.parquet: " in err
    assert path.read_bytes() == b"PAR1 no more"
    status, _, err = sweep()
    assert status == 0
    assert "results/tiny/rows.parquet: " in err
    assert err.count("\n") == 1
    assert [row["scores"] for row in read_rows(path.parent)] == before
    aside = tmp_path / "results" / "damaged" / "tiny-0" / "rows.parquet"
    assert aside.read_bytes() == b"PAR1 no more"


def _folder(path, *, images=(), masks=()):
    for kind, names in (("images", images), ("masks", masks)):
        (path / kind).mkdir(parents=True)
        for name in names:
            halves = np.repeat(np.uint8([[0, 255]]), 10, axis=1).repeat(20, axis=0)
            Image.fromarray(halves).save(path / kind / f"{name}.png")
    return f"folder:{path}"


def test_a_folder_without_masks(run, tmp_path):
    (tmp_path / "birds" / "images").mkdir(parents=True)
    status, _, err = run("--benchmark", f"folder:{tmp_path}/birds")
    assert status == 2
    assert (
        err == f"all-gans: {tmp_path}/birds has no subfolder masks/; expected images/ and masks/.\n"
    )


def test_pictures_without_masks_are_named_and_may_be_skipped(run, tmp_path):
    birds = _folder(tmp_path / "birds", images=("a", "b"), masks=("a",))
    status, _, err = run("--benchmark", birds)
    assert status == 2
    assert "1 bad, 1 good pictures" in err
    assert "images/b.png has no mask" in err
    assert "--skip-bad" in err
    assert "Traceback" not in err
    status, out, err = run("--benchmark", birds, "--skip-bad", "--dry-run")
    assert (status, err) == (0, "")
    assert re.search(r"skipped: .*images/b.png has no mask", out)


def test_a_disk_that_is_too_small_is_noticed_first(run, monkeypatch, points_here):
    monkeypatch.setattr(Store, "free_bytes", lambda _: 1000)
    status, _, err = run("--generators", GENERATOR)
    assert status == 2
    assert "has 0.98 KiB left" in err
    assert not points_here.tried


# ------------------------------------------------------------------ plan, options, help


def test_a_dry_run_prints_the_plan_and_writes_no_rows(run, tmp_path):
    status, out, err = run(
        *("--generators", GENERATOR, "--data-size", "100", "50", "--mask-kind", "lighter", "both"),
        *("--dry-run", "--seeds", "0", "1"),
        rules=("mahalanobis", "grabcut"),
    )
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("all_gans: 16 trials, 0 of them finished in ")
    assert "2 directions" in lines[1]
    assert "8 sample sets" in lines[1]
    assert "16 segmenters" in lines[1]
    assert "19 scorings" in lines[1]  # with those of three baselines
    assert "if nothing were shared" in lines[1]
    assert lines[2].startswith("estimate: ")
    trials = [line.split(":")[0].strip() for line in lines[3:]]
    assert len(set(trials)) == len(trials) == 16
    names = (f"{GENERATOR} N=100", f"{GENERATOR} N=50 both", "true masks N=50")
    for name in (*names, "distilled Mahalanobis N=100", "distilled GrabCut N=100"):
        assert {f"{name} seed=0", f"{name} seed=1"} < set(trials)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_rules_are_an_option(run):
    small = ("--generators", GENERATOR, "--data-size", "50", "--dry-run")
    status, out, _ = run(*small, "--rules", "otsu", "nearest_border_grabcut")
    assert status == 0
    found = [line.split(":")[0].strip() for line in out.splitlines() if "distilled" in line]
    assert found == [
        "distilled Otsu threshold N=50",
        "distilled nearest border colours + GrabCut N=50",
    ]
    status, _, err = run(*small, "--rules", "otsy")
    assert (status, err.count("\n")) == (2, 1)
    assert "otsy" in err
    # Of the published settings no network is trained on scenes.
    status, _, err = run(*small, "--rules", "otsu", "--preset", "paper")
    assert (status, err.count("\n")) == (2, 1)
    assert "--rules otsu has no effect" in err


def test_a_dry_run_leaves_rows_as_they_are(run, tmp_path, finished, points_here):
    run(*TINY, name="tiny", recipe=_tiny)
    path = tmp_path / "results" / "tiny" / "rows.parquet"
    before = path.read_bytes()
    status, out, _ = run(*TINY, "--dry-run", name="tiny", recipe=_tiny)
    assert status == 0
    assert "2 trials, 2 of them finished" in out
    status, out, _ = run(*TINY, "--dry-run", "--storage", "other", name="tiny", recipe=_tiny)
    assert status == 0
    assert "2 trials, 0 of them finished" in out
    assert path.read_bytes() == before
    assert not points_here.tried


def test_help_shows_main_options_with_their_values_and_the_others_on_request(run):
    status, short, _ = run("--help")
    assert status == 0
    assert "What it does." in short
    assert all(option in short for option in FIRST)
    for value in ("[default: 5]", "[default: 250", "[default: 1]", "4000]"):
        assert value in short
    for option in ("--weights", "--workers", "--max-hours", "--train-width", "--nearest"):
        assert f"│ {option} " not in short
    status, every, _ = run("--help-all")
    assert status == 0
    for option in ("--weights", "--workers", "--max-hours", "--train-width", "--nearest", *FIRST):
        assert option in every


def test_options_that_were_given_are_known_by_name():
    # The default's own value was typed all the same.
    parsed_options("--epsilon", "2", "--seeds", "0", "--workers", "1", "--plain")
    assert typed() == {"--epsilon", "--seeds", "--workers", "--plain"}
    parsed_options()
    assert typed() == frozenset()


def test_options_become_axes():
    options = parsed_options(
        *("--generators", "ggan.scenes32", "sngan.scenes32", "--contrast-weight", "2", "5"),
        *("--epsilon", "0.5", "--data-size", "10", "20", "--seeds", "3", "--mask-kind", "ensemble"),
    )
    axes = options.varied()
    assert axes["generator"] == ("ggan.scenes32", "sngan.scenes32")
    assert axes["contrast_weight"] == (2.0, 5.0)
    assert axes["epsilon"] == (0.5,)
    assert axes["data_size"] == (10, 20)
    assert axes["mask_kind"] == ("ensemble",)
    assert axes["seed"] == (3,)


def test_words_for_many_generators():
    every = parsed_options("--generators", "all").varied()["generator"]
    embedded = parsed_options().varied(default=("embedded",))["generator"]
    published = parsed_options("--generators", "published").varied()["generator"]
    assert embedded == parsed_options("--generators", "embedded").varied()["generator"]
    assert {"ggan.scenes32"} <= set(embedded) <= set(every)
    assert "stylegan2.ffhq1024" in published
    assert set(every) >= set(embedded) | set(published)


def test_replicas_are_part_of_the_training():
    grid = parsed_options("--workers", "2", "--preset", "smoke").grid()
    assert grid.training.replicas == 2


def test_paths_are_told_to_other_processes_in_full(tmp_path):
    (tmp_path / "mine.py").touch()
    options = parsed_options(
        *("--storage", "s", "--benchmark", "folder:birds", "scenes", "--skip-bad"),
        *("--generators", "mine.py:make"),
    )
    setting = options.context()
    assert setting.storage == tmp_path / "s"
    assert setting.benchmarks == (f"folder:{tmp_path}/birds", "scenes")
    assert setting.skip_bad
    assert options.varied()["generator"] == (f"{tmp_path}/mine.py:make",)


def test_a_generator_of_the_user_s_own_can_be_planned(run, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from gseg.generators.analytic import analytic_generator\n"
        "def make():\n    return analytic_generator(16)\n"
    )
    status, out, err = run("--generators", "mine.py:make", "--dry-run", "--data-size", "50")
    assert (status, err) == (0, "")
    assert f"{tmp_path}/mine.py:make N=50" in out


# ------------------------------------------------------------------ run, table, rows, figures


def test_a_sweep_leaves_rows_scores_and_figures(run, tmp_path, points_here):
    status, out, err = run(*TINY, name="tiny", recipe=_tiny)
    assert (status, err) == (0, "")
    assert points_here.tried == [0, 1]

    rows = pd.read_parquet(tmp_path / "results" / "tiny")
    assert set(rows.method) == {"gan", "otsu", "centre_disc", "grabcut"}
    assert len(rows) == 5 * 4  # two trials and three baselines, each in four profiles
    assert set(rows.benchmark) == {"scenes2:30"}
    assert sorted(rows.data_size.dropna().unique()) == [12, 16]
    assert rows[["accuracy", "iou", "scores", "torch_version"]].notna().all(axis=None)
    images = pd.read_parquet(tmp_path / "results" / "tiny_images")
    assert set(images.experiment) == set(rows.experiment)

    assert "scenes2:30: 30 pictures" in out
    for name in (GENERATOR, "Otsu threshold", "centre disc", "GrabCut"):
        assert name in out
    assert "rows: results/tiny" in out
    assert f"figure: results/tiny_figures/{GENERATOR}.png" in out
    assert (tmp_path / "results" / "tiny_figures" / f"{GENERATOR}.png").exists()


def test_the_same_command_again_computes_nothing(run, tmp_path, unscored, points_here):
    run(*TINY, name="tiny", recipe=_tiny)
    path = tmp_path / "results" / "tiny" / "rows.parquet"
    before, ran = path.read_bytes(), list(points_here.tried)
    assert len(ran) == 2
    status, out, _ = run(*TINY, name="tiny", recipe=_tiny)
    assert status == 0
    assert points_here.tried == ran
    assert path.read_bytes() == before
    assert "2 trials, 2 of them finished" in out
    assert "Otsu threshold" in out


def test_lost_results_come_back_from_the_storage(run, tmp_path, finished, points_here):
    run(*TINY, name="tiny", recipe=_tiny)
    before = read_rows(tmp_path / "results" / "tiny")
    run(*TINY, "--results", "new", name="tiny", recipe=_tiny)
    assert not points_here.tried
    after = read_rows(tmp_path / "new" / "tiny")
    names = ("experiment", "benchmark", "metric_profile", "iou", "accuracy", "scores")
    assert [[row[name] for name in names] for row in after] == [
        [row[name] for name in names] for row in before
    ]
    assert all(row["scoring_reused"] for row in after)


def test_rows_of_other_sweeps_stay(run, tmp_path, finished, points_here):
    run(*TINY, name="tiny", recipe=_tiny)
    run("--benchmark", "scenes:20", name="tiny", recipe=_tiny)
    rows = pd.read_parquet(tmp_path / "results" / "tiny")
    assert rows.groupby("benchmark").size().tolist() == [20, 20]


def test_a_failed_trial_is_reported_and_the_others_are_kept(run, tmp_path, unscored, points_here):
    points_here.failing = {1: "[no] luck"}
    setting = Context(storage=tmp_path / "storage", benchmarks=("scenes:30",))
    details = note_failure(_tiny(None, None)[1], setting, OSError("[no] luck")).details
    status, out, err = run(*TINY, name="tiny", recipe=_tiny)
    assert (status, err) == (1, "")
    assert f"failed: {GENERATOR} N=12: [no] luck (details: {details})" in out
    rows = pd.read_parquet(tmp_path / "results" / "tiny")
    assert sorted(rows.data_size.dropna().unique()) == [16]


def test_when_everything_fails_there_is_still_a_table(run, points_here):
    points_here.failing = {0: "no", 1: "no"}
    status, out, _ = run(*TINY, name="tiny", recipe=_tiny)
    assert status == 1
    assert out.count("failed: no") == out.count("\nfailed: ") == 2
    assert "Otsu threshold" in out


def test_rows_are_written_as_soon_as_a_trial_is_finished(run, tmp_path, unscored, points_here):
    seen = []

    def evaluate(work, point, *more):
        if point.number == 0:
            return SweepWork.evaluate(work, point, *more)
        seen.extend(read_rows(tmp_path / "results" / "tiny"))
        raise KeyboardInterrupt

    points_here.evaluate = evaluate
    status, _, err = run(*TINY, name="tiny", recipe=_tiny)
    assert status == 130
    assert "interrupted; the same command goes on from here" in err
    sizes = [row["data_size"] for row in seen if row["method"] == "gan"]
    assert sizes == [16] * len(DEFAULT_PROFILES)


def test_merging_keeps_what_has_the_same_scores(run, tmp_path, finished, points_here):
    """A row that is there stays as it is, with the time at which it was made."""
    run(*TINY, name="tiny", recipe=_tiny)
    folder = tmp_path / "results" / "tiny"
    rows = read_rows(folder)
    merge_rows(folder, [rows[0] | {"finished": "2001-01-01T00:00:00Z"}])
    merge_rows(folder, [rows[1] | {"scores": "outdated", "iou": -1.0}])
    run(*TINY, name="tiny", recipe=_tiny)
    after = read_rows(folder)
    assert after[0]["finished"] == "2001-01-01T00:00:00Z"
    assert after[1]["scores"] == rows[1]["scores"]
    assert after[1]["iou"] == rows[1]["iou"]
