"""Sets of pictures that change, share a name, or are trained and scored on: what commands say."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gseg.commands.app import run as run_app
from gseg.commands.run import recipe_app
from gseg.directions.config import SearchConfig
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.failures import known_failure
from gseg.pipeline.stages.segmenter import ScoresNode
from gseg.recipes.recipe import Recipe
from gseg.reports.report import write_report
from gseg.samples.config import SampleConfig, filter_preset
from gseg.scenes.pictures import render
from gseg.scores.benchmarks import open_benchmark
from gseg.segmenters.config import FitConfig

pytestmark = pytest.mark.usefixtures("apart")

_TRIAL = Experiment(
    generator="analytic.ellipses32",
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
    data_size=12,
    validation_size=4,
    training=FitConfig(steps=2, batch=4, decay_at=None, width=4, depth=2),
    recipe="tiny",
)
_PROFILE = "melas2022_program"


@pytest.fixture
def run(capsys, points_here):
    def call(*arguments, grid=False):
        facts = {"name": "tiny", "shows": "", "takes": "", "about": "", "generators": ()}

        def make(grid, _):
            labelled = grid.labelled and replace(grid.labelled, side=32)
            chosen = grid.selection and replace(grid.selection, candidates=20)
            return [replace(_TRIAL, labelled=labelled, selection=chosen)]

        status = run_app(recipe_app(Recipe(make=make, rules=(), **facts)), arguments)
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


def _folder(path, first=0, count=8):
    """Scenes as a benchmark; BMPs, whose size says nothing of what they show."""
    scenes = render(range(first, first + count), resolution=32)
    for kind in ("images", "masks"):
        (path / kind).mkdir(parents=True, exist_ok=True)
    for number, (picture, mask) in enumerate(zip(scenes.pictures, scenes.masks, strict=True)):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path / "images" / f"{number}.bmp")
        Image.fromarray(mask.numpy().astype(np.uint8) * 255).save(path / "masks" / f"{number}.bmp")
    return path


def _invert(path):
    for mask in (path / "masks").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(mask))).save(mask)


def _rows(method="otsu"):
    rows = pd.read_parquet("results/tiny")
    return rows[(rows.metric_profile == _PROFILE) & (rows.method == method)]


def test_two_folders_of_one_name_are_two_benchmarks(run, tmp_path):
    """The second got the first one's scores, and its rows replaced the first one's."""
    first, second = _folder(tmp_path / "v1" / "set"), _folder(tmp_path / "v2" / "set")
    _invert(second)
    ious = []
    for folder in (first, second):
        status, out, err = run("--benchmark", f"folder:{folder}")
        assert (status, err) == (0, "")
        assert "folder:set: 8 pictures" in out
        assert "made again" not in out
        ious.append(_rows().set_index("benchmark_digest").iou)
    assert len(ious[0]) == 1
    assert ious[1][ious[0].index[0]] == ious[0].iloc[0]
    other = ious[1].drop(ious[0].index)
    assert abs(other.iloc[0] - ious[0].iloc[0]) > 0.1
    rows = _rows("gan")
    assert len(rows) == 2
    assert rows.weights.notna().all()
    page = write_report("results/tiny", "report").with_suffix(".md").read_text()
    for digest in rows.benchmark_digest:
        assert f"folder:set [{digest[:4]}]" in page.replace("\\", "")


def test_both_may_stand_in_one_sweep(run, tmp_path):
    first, second = _folder(tmp_path / "v1" / "set"), _folder(tmp_path / "v2" / "set")
    both = ("--benchmark", f"folder:{first}", f"folder:{second}")
    status, _, err = run(*both)
    assert status == 2
    told = f"folder:{first}, folder:{second}"
    assert f"Two benchmarks have the same pictures and masks: {told}." in err
    _invert(second)
    status, out, _ = run(*both)
    assert status == 0
    for folder in (first, second):
        assert f"folder:set [{open_benchmark(f'folder:{folder}').digest[:4]}]: 8 pictures" in out


def test_masks_that_change_in_place_are_scored_again(run, tmp_path):
    folder = _folder(tmp_path / "set")
    run("--benchmark", f"folder:{folder}")
    before = _rows().iou.item()
    times = {path: path.stat() for path in (folder / "masks").iterdir()}
    _invert(folder)
    for path, told in times.items():
        os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))
    run("--benchmark", f"folder:{folder}")
    assert sorted(_rows().iou)[0] != sorted(_rows().iou)[1]
    assert before in list(_rows().iou)


def test_the_plan_says_that_scores_of_older_versions_are_taken_again(run, tmp_path, monkeypatch):
    spec = f"folder:{_folder(tmp_path / 'set')}"
    with monkeypatch.context() as older:
        digest = ScoresNode.config
        older.setattr(
            ScoresNode,
            "config",
            lambda node, shop: {
                **digest(node, shop),
                "benchmark": open_benchmark(spec).older_identity,
            },
        )
        assert run("--benchmark", spec)[0] == 0
    status, out, _ = run("--benchmark", spec, "--dry-run")
    assert status == 0
    again = "4 scorings are made again: what names a set of pictures is its content now"
    assert again in out
    assert again in run("--benchmark", spec)[1]
    assert again not in run("--benchmark", spec)[1]


def test_a_set_that_changes_while_a_sweep_runs_stops_it(run, points_here, tmp_path):
    folder = _folder(tmp_path / "set")
    failed = []

    def evaluate(work, point, setting, backend, report):
        _invert(folder)
        with pytest.raises(ValueError, match="Benchmark folder:set has changed since") as caught:
            type(work).evaluate(work, point, setting, backend, report)
        failed.append(caught.value)
        raise caught.value

    points_here.evaluate = evaluate
    status, _, err = run("--benchmark", f"folder:{folder}")
    assert status == 2
    assert "Benchmark folder:set has changed since the trial was planned: start again." in err
    assert len(err.splitlines()) == len(failed) == 1
    points_here.evaluate = None
    assert run("--benchmark", f"folder:{folder}")[0] == 0
    setting = Context(storage=tmp_path / "storage", benchmarks=(f"folder:{folder}",))
    assert known_failure(_TRIAL, setting) is None


def test_nobody_is_scored_on_the_pictures_of_its_training(run, tmp_path):
    """The network that was trained on the test pictures got .99 instead of .61."""
    folder = _folder(tmp_path / "set", count=12)
    other = _folder(tmp_path / "others", first=50)
    labelled = ("--labelled", f"folder:{folder}", "--labelled-count", "6")
    status, out, err = run(*labelled, "--benchmark", f"folder:{folder}")
    assert (status, out) == (2, "")
    assert "6 of the 6 pictures of folder:set that are trained on with their masks are in" in err
    assert "--benchmark" in err
    assert len(err.splitlines()) == 1
    assert run(*labelled, "--benchmark", f"folder:{other}", "--dry-run")[0] == 0
    # A single picture, under another name.
    shutil.copyfile(folder / "images" / "3.bmp", other / "images" / "0.bmp")
    everything = ("--labelled", f"folder:{folder}", "--labelled-count", "12")
    status, _, err = run(*everything, "--benchmark", f"folder:{other}", "--dry-run")
    assert status == 2
    assert "1 of the 12 pictures" in err
    status, _, err = run(
        "--labelled", "scenes", "--labelled-count", "6", "--benchmark", "scenes:999"
    )
    assert (status, "6 of the 6 pictures of scenes" in err) == (2, True)


def test_a_selection_by_scored_pictures_is_told_in_the_row(run, tmp_path):
    folder = _folder(tmp_path / "set")
    shutil.copytree(folder / "images", tmp_path / "more")
    (tmp_path / "more" / "0.bmp").unlink()
    benchmarks = ("--benchmark", f"folder:{folder}", "scenes:12")
    assert run(*benchmarks, "--nearest", str(tmp_path / "more"))[0] == 0
    rows = _rows("gan").set_index("benchmark").selection
    assert rows["folder:set"].endswith(", 7 of them scored on")
    assert rows["scenes2:12"].startswith("more [")
    assert "scored" not in rows["scenes2:12"]


def test_pictures_that_occur_twice_are_counted(run, tmp_path):
    folder = _folder(tmp_path / "set")
    shutil.copyfile(folder / "images" / "0.bmp", folder / "images" / "7.bmp")
    _, out, _ = run("--benchmark", f"folder:{folder}", "--dry-run")
    assert out.count("folder:set: 1 of its 8 pictures are there twice") == 1
