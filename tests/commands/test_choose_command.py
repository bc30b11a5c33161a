"""The command ``gseg choose``: the trial that it names, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from gseg.cli import main
from gseg.directions.config import SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.rows import merge_rows
from gseg.pipeline.trial import run_trial
from gseg.samples.config import SampleConfig, filter_preset
from gseg.scenes.pictures import render
from gseg.segmenters.config import FitConfig


@pytest.fixture(autouse=True)
def _apart(apart):
    """Work in an empty folder, and never start Ray."""


def experiments():
    samples = SampleConfig(batch=64, blocks_per_shard=2, filters=filter_preset("none"))
    good = Experiment(
        generator="analytic.ellipses32",
        search=SearchConfig(steps=30),
        samples=samples,
        data_size=100,
        validation_size=16,
        training=FitConfig(steps=60, batch=16, learning_rate=5e-3, decay_at=None, width=4, depth=2),
    )
    # One step: its segmenter has learnt next to nothing.
    return [good, replace(good, training=replace(good.training, steps=1))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("finished")
    setting = Context(storage=found / "storage", benchmarks=("scenes:10",))
    backend = RayBackend(Resources(placement="process"))
    for each in experiments():
        merge_rows(found / "results", run_trial(each, setting, backend))
    return found


def test_it_names_the_trial_and_its_segmenter_and_refuses_the_trivial_one(folder, capsys):
    good, trivial = experiments()
    told = ("choose", str(folder / "results"), "--storage", str(folder / "storage"))
    assert main([*told, "--json", "choice.json"]) == 0
    said = capsys.readouterr().out
    assert f"experiment: {good.digest}" in said
    assert "chosen without labels, by agreed_iou: analytic.ellipses32, train steps 60" in said
    assert "refused: analytic.ellipses32, train steps 1: its masks are" in said
    written = json.loads(Path("choice.json").read_text())
    assert written["criterion"] == "agreed_iou"
    assert written["chosen"]["experiment"] == good.digest
    assert [each["experiment"] for each in written["ranking"]] == [good.digest, trivial.digest]
    (file,) = written["chosen"]["segmenters"]
    assert file in said.replace("\n", "")


def test_it_compares_on_pictures_of_the_users_own(folder, tmp_path, capsys):
    own = tmp_path / "own"
    own.mkdir()
    for number, picture in enumerate(render(range(6), resolution=40).pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(own / f"{number}.png")
    told = ("choose", str(folder / "results"), "--storage", str(folder / "storage"))
    assert main([*told, "--pictures", str(own), "--criterion", "held_out_iou"]) == 0
    assert "chosen without labels, by held_out_iou" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--storage", "elsewhere"), "elsewhere holds none of these 2 trials"),
        (("--criterion", "iou"), "criterion"),
        (("--pictures", "nowhere"), "nowhere: there is no such folder of pictures"),
    ],
)
def test_what_is_wrong_is_one_line(folder, capsys, words, message):
    storage = () if "--storage" in words else ("--storage", str(folder / "storage"))
    assert main(["choose", str(folder / "results"), *storage, *words]) == 2
    assert message in capsys.readouterr().err
