import re

import pandas as pd
import pytest

from gseg.pipeline.rows import make_row, merge_rows
from gseg.reports.report import build_report, write_report


def _rows(seeds):
    return [
        {
            "generator": name,
            "fid": fid,
            "fid_protocol": "p",
            "data_size": size,
            "iou": 0.9 - fid / 20 + number / 100,
            **seeds(number),
        }
        for name, fid in (("sngan.scenes32", 2.0), ("biggan.scenes32", 1.0), ("ggan.scenes32", 5.0))
        for size in (100, 1_000)
        for number in (0, 1)
    ] + [{"method": "otsu", "generator": None, "iou": 0.95, "data_size": None}]


def test_sections_follow_what_there_is(frame, seeds):
    report = build_report(frame(*_rows(seeds)), title="t")
    anchors = [section.anchor for section in report.sections]
    assert anchors[:4] == ["overview", "distance", "size", "benchmarks"]
    assert "grid" not in anchors
    assert anchors[-1] == "provenance"
    assert len({table.name for table in report.tables}) == len(report.tables)


def test_scores_have_one_line_for_all_seeds(frame, seeds):
    report = build_report(frame(*_rows(seeds)), title="t")
    (table,) = (each for each in report.tables if each.name.startswith("scores_"))
    assert len(table.frame) == 7
    first = table.frame.iloc[0]
    assert first["name"] == "biggan.scenes32"
    assert first.iou == pytest.approx(0.855)
    assert first.iou_sd == pytest.approx(0.00707, abs=1e-5)
    assert table.frame.iloc[-1]["name"] == "Otsu threshold"
    best = table.is_best("iou")
    assert best.sum() == 2  # both sizes of the best generator; Otsu's higher value is not marked
    assert not best.iloc[-1]


def test_distances_of_two_protocols_do_not_share_a_column(frame, seeds):
    rows = _rows(seeds)
    rows[0]["fid_protocol"] = "q"
    report = build_report(frame(*rows), title="t")
    (table,) = (each for each in report.tables if each.name.startswith("scores_"))
    assert "fid" not in table.frame


def test_the_same_rows_give_the_same_files(tmp_path, frame, seeds):
    frame(*_rows(seeds))
    (folder,) = tmp_path.glob("rows*")
    first = write_report(folder, tmp_path / "one").read_bytes()
    second = write_report(folder, tmp_path / "two").read_bytes()
    assert first == second
    assert re.search(rb"no network|https?://(?!www\.w3\.org)", first) is None
    tables = {path.stem for path in (tmp_path / "one" / "tables").iterdir()}
    assert {"overview", "correlations", "data_size", "provenance"} <= tables
    text = (tmp_path / "one" / "report.md").read_text()
    assert "## Fréchet distance and segmentation" in text


def test_the_report_goes_beside_the_rows(tmp_path):
    merge_rows(
        tmp_path / "all_gans",
        [
            make_row(
                {
                    "experiment": "e",
                    "method": "otsu",
                    "benchmark": "scenes",
                    "eval_protocol": "text",
                    "metric_profile": "voynov2021",
                    "iou": 0.5,
                    "accuracy": 0.6,
                    "images": 3,
                }
            )
        ],
    )
    page = write_report(tmp_path / "all_gans")
    assert page == tmp_path / "all_gans_report" / "report.html"
    assert len(pd.read_parquet(tmp_path / "all_gans")) == 1


def test_a_folder_without_rows_is_named(tmp_path):
    with pytest.raises(ValueError, match="has no rows"):
        write_report(tmp_path)
