import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gseg.directions.config import SearchConfig
from gseg.images import from_uint8
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.trial import Context, find_parts, run_trial
from gseg.reports.failure_cases import failure_cases
from gseg.samples.config import SampleConfig
from gseg.samples.filters import filter_preset
from gseg.samples.sets import load_samples
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter

TRIAL = Experiment(
    generator="analytic.ellipses16",
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
    mask_kind="both",
    data_size=12,
    validation_size=4,
    training=FitConfig(steps=30, batch=4, decay_at=None, width=4, depth=2, seed=3),
)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Three scenes and a picture whose true mask is empty."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for number in range(4):
        mask = np.zeros((16, 16), dtype=np.uint8)
        mask[4:12, 4 : 4 + 2 * number] = 255
        picture = noise.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    storage = tmp_path_factory.mktemp("storage")
    setting = Context(storage=storage, benchmarks=(f"folder:{folder}", "scenes:5"))
    run_trial(TRIAL, setting, LocalBackend())
    return setting


@pytest.fixture(scope="module")
def lines(setting, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    return failure_cases(folder, TRIAL, setting, "cpu", 4), folder


def test_samples_that_the_segmenter_contradicts_most_come_first(lines, setting):
    found = lines[0].query("pictures == 'samples'")
    member = find_parts(TRIAL, setting, "cpu").members[0]
    samples = load_samples(member.samples.pairs.shards, 12)
    predicted = Segmenter.load(member.file).probability(from_uint8(samples.pictures)) > 0.5
    ious = {}
    for number, one, other in zip(samples.indices, predicted, samples.masks, strict=True):
        union = int(torch.logical_or(one, other).sum())
        ious[str(int(number))] = int(torch.logical_and(one, other).sum()) / max(union, 1)
    assert list(found["iou"]) == pytest.approx(sorted(ious.values())[:4])
    assert [ious[name] for name in found["id"]] == pytest.approx(list(found["iou"]))


def test_pictures_with_the_lowest_iou_come_first_and_empty_masks_are_left_out(lines):
    everything = lines[0]
    found = everything[everything["pictures"].str.startswith("folder")]
    assert len(found) == 3
    assert not any(str(each).startswith("0") for each in found["id"])
    assert found["iou"].is_monotonic_increasing
    assert len(lines[0].query("pictures == 'scenes:5'")) == 4


def test_there_is_a_sheet_of_each_kind(lines):
    rows, folder = lines
    assert set(rows["generator"]) == {TRIAL.generator}
    assert set(rows["seed"]) == {3}
    assert len(list(folder.glob("analytic.ellipses16-3-*.png"))) == 3
    assert isinstance(rows, pd.DataFrame)


def test_a_trial_that_is_not_finished_is_named(tmp_path):
    with pytest.raises(ValueError, match="N=12 both is not finished: run its sweep first"):
        failure_cases(tmp_path, TRIAL, Context(storage=tmp_path / "empty"), "cpu", 4)
