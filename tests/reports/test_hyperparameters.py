"""Scores against hyper-parameters."""

import pandas as pd
import pytest
from PIL import Image

from gseg.reports.hyperparameters import hyperparameter_figure, hyperparameter_lines


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
