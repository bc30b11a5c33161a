import io
import math
import statistics

import pandas as pd
import pytest
from rich.console import Console

from gseg.pipeline.rows import make_row
from gseg.reports.tables import (
    METHOD_NAMES,
    masks_line,
    method_names,
    seed_summary,
    summary,
    summary_table,
    sweep_tables,
)


def _row(experiment, **values):
    common = {
        "experiment": experiment,
        "benchmark": "scenes",
        "metric_profile": "melas2022_program",
        "scoring_seconds": 1.0,
    }
    return make_row(common | values)


def _gan(experiment, generator, iou, **values):
    settings = {
        "method": "gan",
        "generator": generator,
        "iou": iou,
        "accuracy": 0.9,
        "max_f_beta": 0.8,
        "fid": 3.0,
        "data_size": 4000,
        "mask_kind": "lighter",
        "objective": "gseg",
        "contrast_weight": 5.0,
        "epsilon_sample": 1.0,
        "direction_seed": 0,
        "sample_seed": 0,
        "train_seed": 0,
        "train_preset": "embedded",
        "direction_seconds": 2.0,
        "samples_seconds": 3.0,
        "training_seconds": 10.0,
        "fid_seconds": 1000.0,
    }
    return _row(experiment, **(settings | values))


BASELINES = [
    _row("o", method="otsu", iou=0.6, accuracy=0.95, max_f_beta=0.7),
    _row("t", method="true_masks", iou=0.96, accuracy=0.99, data_size=4000, train_seed=0),
]


def _summary(*rows):
    return summary(pd.DataFrame(list(rows)), "scenes", "melas2022_program")


def _text(lines, *, width=160, **options):
    console = Console(width=width, record=True, file=io.StringIO(), **options)
    console.print(summary_table(lines, "a title"))
    return console.export_text(styles=bool(options))


def test_generators_come_first_and_the_best_on_top():
    lines = _summary(BASELINES[0], _gan("a", "x.y", 0.5), BASELINES[1], _gan("b", "z.y", 0.7))
    assert lines.name.tolist() == ["z.y", "x.y", METHOD_NAMES["true_masks"], METHOD_NAMES["otsu"]]
    assert lines.method.tolist() == ["gan", "gan", "true_masks", "otsu"]


def test_other_benchmarks_and_profiles_stay_out():
    other = [
        _gan("b", "b.b", 0.5, benchmark="folder:x"),
        _gan("c", "c.c", 0.5, metric_profile="voynov2021"),
    ]
    assert _summary(_gan("a", "a.a", 0.5), *other).name.tolist() == ["a.a"]


def test_seconds_are_those_of_the_trial_s_stages():
    """The distance is the generator's, not the trial's."""
    lines = _summary(_gan("a", "x.y", 0.5), *BASELINES)
    assert lines.seconds.tolist() == [16.0, 1.0, 1.0]


def test_only_settings_that_differ_are_columns():
    same = _summary(_gan("a", "x.y", 0.5), _gan("b", "z.y", 0.6), *BASELINES)
    scores = ["fid", "accuracy", "iou", "max_f_beta", "seconds"]
    assert list(same.columns) == ["method", "name", *scores]
    different = _summary(
        _gan("a", "x.y", 0.5),
        _gan("b", "x.y", 0.6, data_size=250, contrast_weight=2.5, mask_kind="both"),
    )
    assert list(different.columns)[2:5] == ["data_size", "mask_kind", "contrast_weight"]


def test_trials_with_one_seed_for_all_stages_have_one_column_of_seeds():
    one = {"direction_seed": 1, "sample_seed": 1, "train_seed": 1}
    lines = _summary(_gan("a", "x.y", 0.5), _gan("b", "x.y", 0.6, **one), *BASELINES)
    assert [name for name in lines.columns if "seed" in name] == ["seed"]
    assert lines.seed.tolist()[:2] == [1, 0]
    apart = _summary(_gan("a", "x.y", 0.5), _gan("b", "x.y", 0.6, **(one | {"train_seed": 2})))
    assert [name for name in apart.columns if "seed" in name] == [
        "direction_seed",
        "sample_seed",
        "train_seed",
    ]


def test_the_table_shows_numbers_as_people_write_them():
    rows = [
        _gan("a", "x.y", 0.51234, data_size=1_000_000, contrast_weight=2.5, train_seed=10**7),
        _gan("b", "x.y", 0.6, data_size=250, fid=None),
    ]
    text = _text(_summary(*rows, *BASELINES))
    for shown in ("a title", "samples", "1,000,000", "250", "λ", "2.5", "0.512", "10000000", "16"):
        assert shown in text
    for hidden in ("nan", "None", "1e+0", "250.0", "0.51234"):
        assert hidden not in text


def test_a_distilled_network_says_by_which_rule_and_where_it_learnt():
    learnt = {"method": "distilled", "data_size": 4000, "train_seed": 0}
    rows = [
        _gan("a", "x.y", 0.7),
        *BASELINES,
        _row("m", rule="mahalanobis", iou=0.8, **learnt),
        _row("c", rule="mahalanobis_grabcut", iou=0.85, **learnt),
    ]
    lines = _summary(*rows)
    assert lines.name.tolist() == [
        "x.y",
        "true masks (ceiling)",
        "U-Net on masks by Mahalanobis + GrabCut",
        "U-Net on masks by Mahalanobis",
        "Otsu threshold",
    ]
    assert "▼" not in _text(lines)  # it does learn
    assert len(seed_summary(lines)) == 5
    elsewhere = pd.DataFrame(rows).assign(benchmark="cub")
    assert method_names(elsewhere).tolist()[3] == "U-Net on masks of scenes by Mahalanobis"
    assert method_names(elsewhere.drop(columns="rule")).tolist()[3] == "distilled"


def test_rows_that_are_below_any_rule_are_marked():
    assert "x.y ▼" in _text(_summary(_gan("a", "x.y", 0.5), _row("g", method="grabcut", iou=0.6)))


def test_the_best_generator_is_marked_and_baselines_are_not():
    rows = [
        _gan("a", "x.y", 0.5, accuracy=0.9, fid=1.5, max_f_beta=0.7),
        _gan("b", "z.y", 0.6, accuracy=0.8, fid=2.5, max_f_beta=math.nan),
    ]
    text = _text(_summary(*rows, *BASELINES), force_terminal=True, color_system="standard")
    marked = [part.split("\x1b")[0].strip() for part in text.split("\x1b[1;32m")[1:]]
    assert sorted(marked) == ["0.600", "0.700", "0.900", "1.50"]


@pytest.mark.parametrize("rows", [[BASELINES[0]], []])
def test_without_a_generator_baselines_are_shown(rows):
    table = pd.DataFrame([*rows, BASELINES[1]])
    lines = summary(table, "scenes", "melas2022_program")
    assert len(lines) == len(rows) + 1
    assert "ceiling" in _text(lines)


def test_distances_of_two_protocols_do_not_share_a_column():
    rows = [
        _gan("a", "one.x", 0.7, fid=3.0, fid_protocol="p, 500 samples"),
        _gan("b", "two.x", 0.8, fid=7.0, fid_protocol="q, 500 samples"),
        _gan("c", "two.x", 0.6, fid=9.0, fid_protocol="q, 500 samples", train_seed=1),
    ]
    lines = _summary(*rows)
    assert "fid" not in lines
    first, second = lines["fid (p, 500 samples)"], lines["fid (q, 500 samples)"]
    assert first.dropna().tolist() == [3.0]
    assert second.dropna().tolist() == [7.0, 9.0]
    text = _text(lines)
    assert "distance (p, 500 samples)" in text
    assert "distance (q, 500 samples)" in text
    assert list(seed_summary(lines).columns).count("fid (p, 500 samples)") == 1
    assert "fid" in _summary(rows[0])


def test_generators_below_a_baseline_are_marked():
    weak, strong = _gan("a", "g.weak", 0.59), _gan("b", "g.strong", 0.7)
    text = _text(_summary(weak, strong, *BASELINES))
    assert "g.weak ▼" in text
    assert "g.strong ▼" not in text
    assert "true masks (ceiling) ▼" not in text
    assert "▼ IoU below that of a baseline that learns nothing" in text
    assert "▼" not in _text(_summary(strong, *BASELINES))


def test_narrow_terminals_fold_words_and_keep_numbers_whole():
    rows = [
        _gan(f"{n}", "bigbigan.scenes32-large", 0.5 + n / 1000, filters=f"size and histogram {n}")
        for n in range(3)
    ]
    shown = _text(_summary(*rows), width=72)
    assert max(map(len, shown.splitlines())) <= 72
    assert all(number in shown for number in ("0.500", "0.501", "0.502", "0.900", "0.800"))
    assert "…" not in shown


def test_a_column_without_distances_is_left_out():
    assert "distance" in _text(_summary(_gan("a", "x.y", 0.5)))
    assert "distance" not in _text(_summary(_gan("a", "x.y", 0.5, fid=None)))


def test_seeds_that_vary_together_are_one_column():
    trials = [_gan(f"{n}", "x.y", 0.5, sample_seed=n, train_seed=n) for n in range(2)]
    assert _summary(*trials).columns.tolist()[2] == "seed"
    trials = [_gan(f"{n}", "x.y", 0.5, sample_seed=n, train_seed=2 * n) for n in range(2)]
    assert {"sample_seed", "train_seed"} < set(_summary(*trials).columns)


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


def test_masks_that_are_all_one_are_told():
    counts = {"benchmark": ["a", "a", "b"], "images": [10, 10, 7]}
    counts |= {"degenerate_masks": [3, 3, 0], "empty_masks": [2, 2, 0]}
    rows = pd.DataFrame(counts)
    assert masks_line(rows, "a") == "a: of 10 true masks 2 all background and 1 all foreground"
    assert masks_line(rows, "b") == ""


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
