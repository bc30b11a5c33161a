"""gseg/reports/tables.py: means over seeds."""

import io
import statistics

import pandas as pd
import pytest
from rich.console import Console

from gseg.pipeline.rows import make_row
from gseg.reports.tables import seed_summary, summary, summary_table, sweep_tables


def row(experiment, generator, seed, iou, **values):
    common = {
        "experiment": experiment,
        "benchmark": "cub",
        "metric_profile": "sod",
        "eval_protocol": "text",
        "method": "gan",
        "generator": generator,
        "data_size": 100,
        "direction_seed": seed,
        "sample_seed": seed,
        "train_seed": seed,
        "accuracy": 0.9,
        "iou": iou,
        "max_f_beta": 0.5 + iou / 10,
        "training_seconds": 10.0 * (seed + 1),
        "scores": "x",
    }
    return make_row(common | values)


@pytest.fixture
def lines():
    rows = [
        row("a", "one.x", 0, 0.50),
        row("b", "one.x", 1, 0.56),
        row("c", "one.x", 2, 0.53),
        row("d", "one.x", 0, 0.20, data_size=50),
        row("e", "two.x", 0, 0.60),
        make_row({**row("f", None, 0, 0.7), "method": "otsu", "data_size": None}),
    ]
    return summary(pd.DataFrame(rows), "cub", "sod")


def test_lines_that_differ_in_seeds_become_one(lines):
    found = seed_summary(lines)
    assert len(lines) == 6
    assert found["name"].tolist() == ["two.x", "one.x", "one.x", "Otsu threshold"]
    assert found["seeds"].tolist() == [1, 3, 1, 1]
    several = found.iloc[1]
    assert several["data_size"] == 100
    assert several["iou"] == pytest.approx(statistics.mean([0.50, 0.56, 0.53]))
    assert several["iou_sd"] == pytest.approx(statistics.stdev([0.50, 0.56, 0.53]))
    assert several["accuracy_sd"] == pytest.approx(0)
    assert several["seconds"] == 20
    assert found["iou_sd"].isna().tolist() == [True, False, True, True]


def test_trials_that_differ_in_a_rarer_setting_are_not_taken_for_seeds():
    rows = [
        row("a", "one.x", 0, 0.50, filters="gseg"),
        row("b", "one.x", 0, 0.60, filters="none"),
        row("c", "one.x", 1, 0.62, filters="none"),
    ]
    lines = summary(pd.DataFrame(rows), "cub", "sod")
    assert lines["filters"].tolist() == ["none", "none", "gseg"]
    found = seed_summary(lines)
    assert found["filters"].tolist() == ["none", "gseg"]
    assert found["seeds"].tolist() == [2, 1]
    assert found["iou"].tolist() == pytest.approx([0.61, 0.50])


def test_a_setting_that_follows_from_another_is_not_shown_twice():
    rows = [
        row("a", "one.x", 0, 0.50, train_preset="paper", train_steps=12_000),
        row("b", "one.x", 0, 0.60, train_preset="official", train_steps=18_000),
    ]
    lines = summary(pd.DataFrame(rows), "cub", "sod")
    assert "train_preset" in lines
    assert "train_steps" not in lines


def test_the_table_shows_mean_and_deviation(lines):
    console = Console(file=io.StringIO(), width=120)
    console.print(summary_table(seed_summary(lines), "cub: over seeds"))
    shown = console.file.getvalue()
    assert "0.530 ± 0.030" in shown
    assert "0.600 " in shown
    assert "_sd" not in shown
    assert "seeds" in shown
    assert "nan" not in shown


def test_a_sweep_prints_means_where_there_are_several_seeds():
    rows = pd.DataFrame([row("a", "one.x", 0, 0.50), row("b", "one.x", 1, 0.56)])
    titles = [table.title for table in sweep_tables(rows, "cub", 1000, "sod")]
    assert titles == [
        "cub: 1,000 pictures, profile sod",
        "cub: mean ± standard deviation over seeds",
    ]
    assert len(sweep_tables(rows[:1], "cub", 1000, "sod")) == 1
