"""Trials that train on labelled pictures: alone, and mixed with generated samples."""

import json
import re
from dataclasses import replace

import pandas as pd
import pytest

from gseg.directions.config import SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.picture_files import encode_png
from gseg.pipeline.experiment import Context, Experiment, LabelledPairs
from gseg.pipeline.trial import find_parts, find_rows, run_trial
from gseg.samples.config import SampleConfig
from gseg.scenes.pictures import render
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter
from gseg.storage.files import write_atomically

SIDE = 32
HERE = RayBackend(Resources(placement="process"))
TINY = FitConfig(steps=4, batch=8, width=2, depth=2, decay_at=None)


@pytest.fixture(scope="module")
def birds(tmp_path_factory) -> LabelledPairs:
    folder = tmp_path_factory.mktemp("labelled") / "birds"
    scenes = render(range(14), resolution=48)
    for number, (picture, mask) in enumerate(zip(scenes.pictures, scenes.masks, strict=True)):
        write_atomically(folder / "images" / f"{number}.png", encode_png(picture))
        write_atomically(folder / "masks" / f"{number}.png", encode_png(mask))
    return LabelledPairs(benchmark=f"folder:{folder}", count=10, side=SIDE)


def mixed(labelled: LabelledPairs) -> Experiment:
    return Experiment(
        generator="analytic.ellipses32",
        search=SearchConfig(steps=3, batch=4),
        samples=SampleConfig(batch=16, blocks_per_shard=2),
        data_size=30,
        validation_size=16,
        training=TINY,
        labelled=labelled,
    )


def test_generated_and_labelled_pairs_together(birds, tmp_path):
    setting = Context(storage=tmp_path, benchmarks=("scenes:8",))
    halves = mixed(replace(birds, weight=0.5))
    (row, *_) = run_trial(halves, setting, HERE)
    assert row["supervision"] == "true masks"
    assert re.fullmatch(r"folder:birds \[[0-9a-f]{8}\]", row["labelled_set"])
    assert row["labelled_size"] == 10
    assert (row["labelled_weight"], row["data_size"]) == (0.5, 30)
    provenance = Segmenter.load(find_parts(halves, setting, "cpu").members[0].file).provenance
    assert provenance["pairs"] == 60  # 30 generated, 10 labelled three times
    (even, *_) = run_trial(mixed(birds), setting, HERE)
    assert even["labelled_weight"] is None
    parts = find_parts(mixed(birds), setting, "cpu")
    assert Segmenter.load(parts.members[0].file).provenance["pairs"] == 40
    assert len(list((tmp_path / "segmenter").iterdir())) == 2
    assert len(list((tmp_path / "samples").iterdir())) == 2  # both trials share them


def test_labelled_pairs_alone(birds, tmp_path):
    setting = Context(storage=tmp_path, benchmarks=("scenes:8",))
    alone = Experiment(method="true_masks", labelled=birds, validation_size=4, training=TINY)
    (row, *_) = run_trial(alone, setting, HERE)
    assert row["supervision"] == "true masks"
    assert (row["train_resolution"], row["data_size"]) == (SIDE, 0)
    assert 0 <= row["validation_iou"] <= 1
    assert row["validation_loss"] > 0
    unmeasured = replace(alone, validation_size=0)
    (row, *_) = run_trial(unmeasured, setting, HERE)
    assert row["validation_iou"] is None
    assert find_rows(unmeasured, setting, "cpu") is not None
    folder = find_parts(unmeasured, setting, "cpu").members[0].file.parent
    assert pd.read_parquet(folder / "losses.parquet").validation_iou.isna().all()


def test_another_labelled_set_is_another_training(birds, tmp_path):
    setting = Context(storage=tmp_path, benchmarks=("scenes:8",))
    alone = Experiment(method="true_masks", labelled=birds, validation_size=4, training=TINY)
    run_trial(alone, setting, HERE)
    run_trial(replace(alone, labelled=replace(birds, seed=1)), setting, HERE)
    manifests = [
        json.loads(file.read_text()) for file in tmp_path.glob("segmenter/*/manifest.json")
    ]
    assert len(manifests) == 2
    assert manifests[0]["parents"] != manifests[1]["parents"]


def test_scenes_that_are_scored_on_are_not_trained_on(tmp_path):
    setting = Context(storage=tmp_path, benchmarks=("scenes:8",))
    million = Experiment(method="true_masks", data_size=1_000_001, training=TINY)
    with pytest.raises(ValueError, match="at most so many may be trained on, got 1,000,001"):
        run_trial(million, setting, HERE)


def test_too_few_labelled_pictures(birds, tmp_path):
    setting = Context(storage=tmp_path, benchmarks=("scenes:8",))
    alone = Experiment(method="true_masks", labelled=birds, validation_size=5, training=TINY)
    with pytest.raises(ValueError, match="birds has 14 pictures, asked for 5 after the first 10"):
        run_trial(alone, setting, HERE)
