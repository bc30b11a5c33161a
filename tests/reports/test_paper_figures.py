"""Figures of the two papers."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from gseg.directions.affine import fit_operators
from gseg.directions.colour_maps import ColourMaps
from gseg.directions.config import SearchConfig
from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.images import from_uint8
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.trial import find_parts, run_trial
from gseg.reports.paper_figures import (
    coloured_components,
    failure_sheets,
    filters_sheet,
    hyperparameter_figure,
    hyperparameter_lines,
    operators_sheet,
    restored,
)
from gseg.samples.config import SampleConfig, filter_preset
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
    return failure_sheets(folder, TRIAL, setting, "cpu", 4), folder


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
    assert len(lines[0].query("pictures == 'scenes2:5'")) == 4


def test_there_is_a_sheet_of_each_kind(lines):
    rows, folder = lines
    assert set(rows["generator"]) == {TRIAL.generator}
    assert set(rows["seed"]) == {3}
    assert len(list(folder.glob("analytic.ellipses16-3-*.png"))) == 3
    assert isinstance(rows, pd.DataFrame)


def test_a_trial_that_is_not_finished_is_named(tmp_path):
    with pytest.raises(ValueError, match="N=12 both is not finished: run its sweep first"):
        failure_sheets(tmp_path, TRIAL, Context(storage=tmp_path / "empty"), "cpu", 4)


@pytest.fixture(scope="module")
def found():
    generator = analytic_generator(16)
    vector = known_direction(generator)
    direction = Direction(lighter=vector, darker=-vector, provenance={})
    return generator, fit_operators(generator, direction, 2.0)


def test_every_pixel_takes_the_map_that_comes_closest():
    lighten = torch.eye(3, 4)
    lighten[:, 3] = 0.5
    darken = torch.eye(3, 4)
    darken[:, 3] = -0.25
    maps = ColourMaps(weights=torch.stack([lighten, darken])[None], clamped=False)
    originals = torch.tensor([0.0, 0.1, -0.2]).view(1, 1, 1, 3).expand(1, 3, 1, 3)
    shifted = originals + torch.tensor([0.4, -0.1, -0.9])
    approximated, mask = restored(maps, originals, shifted)
    assert mask.tolist() == [[[True, False, False]]]
    wanted = torch.tensor([0.5, -0.15, -0.45])
    torch.testing.assert_close(approximated[0, 0, 0], wanted)


def test_what_is_cut_away_is_blue():
    mask = torch.zeros(6, 6, dtype=torch.bool)
    mask[:4, :4] = True
    mask[5, 5] = True
    config = SampleConfig(filters=filter_preset("voynov2021_text"))
    shown = coloured_components(mask, config)
    assert shown[:, 0, 0].tolist() == [230, 60, 50]
    assert shown[:, 5, 5].tolist() == [50, 90, 230]
    assert shown[:, 4, 4].tolist() == [0, 0, 0]
    assert coloured_components(mask[:5, :5], config) is None


def test_sheets_are_written(found, tmp_path):
    generator, direction = found
    operators_sheet(tmp_path / "2.png", generator, direction, 2.0, count=3, tile=32)
    assert Image.open(tmp_path / "2.png").size[0] > 3 * 32
    # The analytic generator's pictures pass all usual rules: ask for a mask of next to nothing.
    filters = replace(filter_preset("voynov2021_text"), max_share=0.1, histogram=None)
    config = SampleConfig(epsilon=2.0, batch=16, filters=filters)
    shown = filters_sheet(tmp_path / "3.png", generator, direction, config, rows=2, tile=32)
    assert shown["area"] == 2
    assert shown["histogram"] == 0
    assert Image.open(tmp_path / "3.png").size[1] > 2 * 32


def test_what_is_missing_is_told(found, tmp_path):
    generator, direction = found
    with pytest.raises(ValueError, match="fit them first"):
        operators_sheet(
            tmp_path / "2.png", generator, replace(direction, operators=None), 2.0, count=1, tile=8
        )
    config = SampleConfig(epsilon=2.0, batch=16, filters=filter_preset("none"))
    with pytest.raises(ValueError, match="touch none of the first candidates"):
        filters_sheet(tmp_path / "3.png", generator, direction, config, rows=1, tile=8)


@pytest.fixture
def rows():
    """Two runs each of a training, of half its batch, and of twice its steps; two benchmarks."""
    trainings = [(32, 0.003, 300, 0.5), (16, 0.003, 300, 0.4), (32, 0.003, 600, 0.6)]
    found = [
        {
            "experiment": f"{number}-{run}",
            "method": "gan",
            "metric_profile": profile,
            "benchmark": benchmark,
            "train_batch": batch,
            "train_learning_rate": rate,
            "train_steps": steps,
            "validation_iou": 1 - iou,
            "iou": iou + gain + 0.02 * run,
        }
        for number, (batch, rate, steps, iou) in enumerate(trainings)
        for run in (0, 1)
        for benchmark, gain in (("a", 0.0), ("b", 0.1))
        for profile in ("melas2022_program", "voynov2021")
    ]
    return pd.DataFrame(found)


def test_means_over_runs_of_one_setting_at_a_time(rows):
    lines = hyperparameter_lines(rows).set_index(["setting", "on", "value"])
    batches = lines.loc["train_batch"]
    assert batches.loc[("a", 16), "iou"] == pytest.approx(0.41)
    assert batches.loc[("b", 32), "iou"] == pytest.approx(0.61)
    assert batches.loc[("a", 32), "iou_sd"] == pytest.approx(0.02 / 2**0.5)
    assert batches.loc[("a", 32), "runs"] == 2
    assert batches.loc[("held-out synthetic", 16), "iou"] == pytest.approx(0.6)
    assert batches.loc[("held-out synthetic", 16), "runs"] == 2
    assert set(lines.loc["train_steps"].index.get_level_values("value")) == {300, 600}
    assert set(lines.loc["train_learning_rate"].index.get_level_values("value")) == {0.003}


def test_the_best_value_is_marked_on_each_set(rows):
    lines = hyperparameter_lines(rows).set_index(["setting", "on", "value"])
    assert lines.loc[("train_steps", "a", 600), "best"]
    assert not lines.loc[("train_steps", "a", 300), "best"]
    assert lines.loc[("train_steps", "held-out synthetic", 300), "best"]


def test_the_figure_is_a_picture(rows, tmp_path):
    hyperparameter_figure(tmp_path / "f" / "h.png", rows)
    assert Image.open(tmp_path / "f" / "h.png").size[0] > 600
