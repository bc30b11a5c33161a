from dataclasses import replace
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from gseg.recipes.grids import grids
from gseg.recipes.published.cells import published_tables
from gseg.recipes.recipe import recipes
from gseg.reports.comparison import compare
from gseg.reports.paper_tables import (
    angle_lines,
    cosine_table,
    initialisation_table,
    paper_benchmarks,
    paper_lines,
    paper_table,
)

PAPER, EMBEDDED = grids()["paper"], grids()["embedded"]
COMMON = {
    "method": "gan",
    "generator": "bigbigan.imagenet128",
    "benchmark": "cub",
    "metric_profile": "melas2022_text",
    "eval_protocol": "text",
    "objective": "melas2022_text",
    "contrast_weight": 5.0,
    "centre_prior": True,
    "epsilon_search": 2.0,
    "epsilon_sample": 2.0,
    "mask_kind": "both",
    "latent_source": "prior",
    "alpha": None,
    "filters": "gseg",
    "data_size": 1_000_000,
    "train_steps": 12_000,
    "train_resolution": 128,
    "resolution": 128,
    "supervision": "none",
    "labelled_size": None,
    "selected_from": None,
    "direction_seed": 0,
    "train_seed": 0,
    "accuracy": 0.9,
    "iou": 0.6,
    "f_beta": 0.7,
    "max_f_beta": 0.8,
}


def _rows(*changes):
    return pd.DataFrame([COMMON | change for change in changes])


def _lines(name, grid, *changes):
    return paper_lines(_rows(*changes), recipes()[name].table, grid)


@pytest.mark.parametrize(
    ("name", "changes", "label"),
    [
        ("table_1", {}, "Ours (BigBiGAN - ImageNet)"),
        ("table_2", {"mask_kind": "lighter"}, "BigBiGAN IN 128px"),
        ("table_2", {"generator": "sngan.tinyimagenet64"}, "SNGAN TinyIN 64px"),
        ("table_6", {"mask_kind": "darker"}, "v_d only"),
        ("table_6", {"mask_kind": "ensemble"}, "Ensemble"),
        ("table_7", {"contrast_weight": 1.25}, "λ = 1.25"),
        ("table_7", {"contrast_weight": 10.0}, "λ = 10"),
        ("table_7", {"contrast_weight": 3.0}, ""),
        ("table_8", {"epsilon_search": 6.0}, "ε = 6"),
        ("table_10", {"centre_prior": False}, "Spatially agnostic loss"),
        ("table_10", {"centre_prior": True}, ""),
        ("table_11", {"generator": "own.py:make"}, "Ours (StyleGAN2 of Flowers)"),
        ("table_11", {}, "Ours (BigBiGAN)"),
        ("table_12", {"generator": "stylegan2.ffhq1024"}, "Ours (StyleGAN2 of FFHQ - UNet)"),
        ("table_13", {"data_size": 50_000, "selected_from": 10}, "kNN generated images only"),
        ("table_13", {"labelled_size": 1_000}, "Real images and all generated images"),
        ("table_14", {"data_size": 300_000}, "300000"),
        ("table_14", {"data_size": 299_999}, ""),
        ("table_15", {"generator": "own.py:make"}, "256"),
        ("table_15", {"generator": "own.py:make", "train_resolution": 64}, "128"),
    ],
)
def test_lines_find_the_paper_s_row(name, changes, label):
    (line,) = _lines(name, PAPER, changes).to_dict("records")
    assert line["row"] == label


def test_labelled_pictures_alone_are_a_row_of_table_13():
    alone = {"method": "true_masks", "generator": "", "data_size": 0, "labelled_size": 1_000}
    alone |= {"objective": None, "contrast_weight": None, "mask_kind": None, "resolution": None}
    (line,) = _lines("table_13", PAPER, alone).to_dict("records")
    assert (line["row"], line["generator"]) == ("Real images only", "true masks")
    assert line["iou_published"] == 0.586
    assert "objective" not in line["not_comparable_because"]


def test_published_numbers_stand_beside_measured_ones():
    first, second = _lines(
        "table_7", PAPER, {"contrast_weight": 1.25}, {"contrast_weight": 10.0}
    ).to_dict("records")
    assert (first["row"], second["row"]) == ("λ = 10", "λ = 1.25")
    assert (second["iou"], second["iou_published"]) == (0.6, 0.385)
    assert second["accuracy_published"] == 0.791
    assert pd.isna(second["max_f_beta_published"])
    assert second["comparable"]


def test_embedded_values_are_the_same_multiples_and_never_comparable():
    name = "bigbigan.scenes32-large"
    embedded = {"generator": name, "objective": "gseg", "mask_kind": "lighter", "data_size": 1_000}
    embedded |= {"benchmark": "scenes", "epsilon_sample": 3.0, "epsilon_search": 3.0}
    (line,) = _lines("table_8", EMBEDDED, embedded).to_dict("records")
    assert line["row"] == "ε = 6"
    cells = published_tables().query("table == '8' and row == 'ε = 6' and metric == 'accuracy'")
    assert line["accuracy_published"] == pytest.approx(cells["value"].mean())
    assert not line["comparable"]
    assert "embedded generator" in line["not_comparable_because"]
    (line,) = _lines("table_14", EMBEDDED, embedded | {"data_size": 20}).to_dict("records")
    assert line["row"] == "100"
    other = embedded | {"generator": "biggan.scenes32-large"}
    for name, row in (("table_8", "ε = 6"), ("table_1", "")):
        (line,) = _lines(name, EMBEDDED, other).to_dict("records")
        assert line["row"] == row
        assert pd.isna(line["accuracy_published"])


def test_seeds_become_mean_and_deviation():
    (line,) = _lines("table_1", PAPER, {}, {"train_seed": 1, "iou": 0.7}).to_dict("records")
    assert line["iou"] == pytest.approx(0.65)
    assert line["iou_sd"] == pytest.approx(0.5**0.5 / 10)


def test_the_table_as_it_is_printed():
    table = recipes()["table_15"].table
    lines = _lines("table_15", PAPER, {"generator": "own.py:make", "benchmark": "flowers"})
    console = Console(file=StringIO(), width=160)
    console.print(paper_table(lines, table))
    shown = console.file.getvalue()
    for part in (
        "Melas 2022, Table 15: measured and published",
        "0.600",
        "0.723",
        "0.798",
        table.note,
    ):
        assert part in " ".join(shown.split())
    assert "generator not known to be the published one" in shown


def test_benchmarks_are_those_of_the_table():
    assert paper_benchmarks(recipes()["table_11"].table) == ("flowers",)
    assert paper_benchmarks(recipes()["table_12"].table) == ("celebamask_hq",)
    assert set(paper_benchmarks(recipes()["table_6"].table)) == {
        *("cub", "flowers", "dut_omron", "duts", "ecssd")
    }


def test_every_label_is_one_that_the_paper_prints():
    for table in filter(None, (each.table for each in recipes().values())):
        cells = published_tables()
        cells = cells[(cells["paper"] == table.paper) & (cells["table"] == table.number)]
        assert len(cells)
    sizes = replace(EMBEDDED, curve_sizes=())
    (line,) = _lines("table_14", sizes, {}).to_dict("records")
    assert line["row"] == ""


def test_the_report_s_comparison_takes_embedded_epsilons_for_what_they_stand_for():
    embedded = {"generator": "bigbigan.scenes32-large", "mask_kind": "lighter", "benchmark": "cub"}
    shifts = [{"epsilon_search": each, "epsilon_sample": each} for each in (0.5, 1.0, 2.0, 3.0)]
    ious = (0.1, 0.2, 0.3, 0.4)
    rows = _rows(*(embedded | at | {"iou": iou} for at, iou in zip(shifts, ious, strict=True)))
    lines = compare(rows).query("table == 'Melas 2022, Table 8' and score == 'iou'")
    assert dict(zip(lines["row"], lines["measured"], strict=True)) == {
        **{"ε = 1": 0.1, "ε = 2": 0.2, "ε = 4": 0.3, "ε = 6": 0.4}
    }
    published = compare(_rows({"mask_kind": "lighter", "epsilon_search": 2, "epsilon_sample": 2}))
    assert list(published.query("table == 'Melas 2022, Table 8'")["row"].unique()) == ["ε = 2"]


def test_cosines_are_averaged_over_directions_not_trials(frame, seeds):
    rows = frame(
        {"generator": "a.x", "cosine": -0.5, "data_size": 10},
        {"generator": "a.x", "cosine": -0.5, "data_size": 20},
        {"generator": "a.x", "cosine": -0.9, **seeds(1)},
        {"generator": "bigbigan.imagenet128", "cosine": -0.4},
        {"method": "otsu", "generator": None},
    )
    table = angle_lines(rows).set_index("generator")
    assert table.seeds.to_dict() == {"a.x": 2, "bigbigan.imagenet128": 1}
    assert table.cosine["a.x"] == pytest.approx(-0.7)
    assert table.cosine_sd["a.x"] == pytest.approx(np.std([-0.5, -0.9], ddof=1))
    assert table.published["bigbigan.imagenet128"] == -0.4376
    assert np.isnan(table.published["a.x"])


def _pairs(generator, cosines):
    names = [(a, b) for a in range(3) for b in range(a + 1, 3)]
    return pd.DataFrame(
        {
            "generator": generator,
            "contrast_weight": 5.0,
            "epsilon_search": 2.0,
            "seed_a": [a for a, _ in names],
            "seed_b": [b for _, b in names],
            "lighter": cosines,
            "darker": 1.0,
        }
    )


def test_initialisations_are_reduced_to_mean_and_deviation():
    cosines = [0.9, 0.8, 0.7]
    pairs = pd.concat([_pairs("bigbigan.imagenet128", cosines), _pairs("a.x", 0.5)])
    table = initialisation_table(pairs)
    lines = table.frame.set_index("generator")
    assert lines.lighter["bigbigan.imagenet128"] == pytest.approx(0.8)
    assert lines.lighter_sd["bigbigan.imagenet128"] == pytest.approx(np.std(cosines, ddof=1))
    assert lines.pairs.tolist() == [3, 3]
    assert lines.published["bigbigan.imagenet128"] == 0.9866
    assert np.isnan(lines.published["a.x"])
    assert "contrast_weight" not in lines


def test_rows_of_directions_alone_are_averaged_too():
    rows = pd.DataFrame(
        {
            "generator": "sagan.scenes32-large",
            "epsilon_search": 2.0,
            "cosine": [-0.5, -0.7],
            "direction_seed": [0, 1],
        }
    )
    line = cosine_table(rows).frame.iloc[0]
    assert (line.cosine, line.directions, line.published) == (pytest.approx(-0.6), 2, -0.4648)
    assert initialisation_table(rows) is None
    assert cosine_table(_pairs("a.x", 0.5)) is None


def test_cosines_of_something_else_are_no_directions():
    both_papers = pd.DataFrame({"generator": ["a.x"], "cosine": [0.2], "seed": [0]})
    assert cosine_table(both_papers) is None
