import re

import pandas as pd
import pytest
from PIL import Image

from gseg.cli import main
from gseg.pipeline.rows import make_row, merge_rows
from gseg.reports.report import (
    build_report,
    plain_report,
    result_folders,
    write_index,
    write_report,
)


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


@pytest.fixture
def results(tmp_path, frame):
    """A folder with the rows of two sweeps, a table of another kind, and what is no results."""
    folder = tmp_path / "results"
    folder.mkdir()
    for name, iou in (("table_2", 0.5), ("all_gans", 0.7)):
        frame({"generator": f"best.of_{name}", "iou": iou}, {"generator": "worse.x", "iou": 0.1})
        made = max(tmp_path.glob("rows*"), key=lambda path: path.stat().st_mtime_ns)
        made.rename(folder / name)
    cosines = pd.DataFrame({"about": ["directions"] * 2, "seed": [0, 1], "angle": [-0.75, 0.5]})
    for name in ("table_10", "published", "all_gans_images"):
        (folder / name).mkdir()
        cosines.to_parquet(folder / name / "cosines.parquet")
    (folder / "notes").mkdir()
    (folder / ".hidden").mkdir()
    cosines.to_parquet(folder / ".hidden" / "rows.parquet")
    return folder


def test_results_are_told_from_what_lies_beside_them(results):
    assert [path.name for path in result_folders(results)] == ["all_gans", "table_2", "table_10"]


def test_one_command_writes_all_reports_and_a_page_that_leads_to_them(results, capsys):
    assert main(["report", str(results)]) == 0
    assert "all reports:" in capsys.readouterr().out
    page = (results / "index.html").read_text()
    for name in ("all_gans", "table_2", "table_10"):
        assert f'<a href="{name}_report/report.html">{name}</a>' in page
        assert (results / f"{name}_report" / "report.html").is_file()
    assert "best.of_all_gans" in page
    assert "worse.x" not in page
    lines = (results / "index.md").read_text().splitlines()
    assert lines[0] == "# gseg: results"
    assert any(line.startswith("| [table_10](table_10_report/report.html) |") for line in lines)
    assert [path.name for path in result_folders(results)] == ["all_gans", "table_2", "table_10"]


def test_reports_may_go_elsewhere(results, tmp_path):
    assert main(["report", str(results), "--out", str(tmp_path / "pages")]) == 0
    assert (tmp_path / "pages" / "index.html").is_file()
    assert (tmp_path / "pages" / "table_2_report" / "report.html").is_file()
    assert not list(results.glob("*_report"))


def test_links_lead_from_the_index_to_a_report_anywhere(results, tmp_path):
    page = write_report(results / "table_2", tmp_path / "far" / "away")
    index = write_index(tmp_path / "pages", {results / "table_2": page})
    assert 'href="../far/away/report.html"' in index.read_text()


def test_tables_that_are_no_rows_are_shown_as_they_are(results):
    lines, common = plain_report(results / "table_10").tables
    assert (lines.name, list(lines.frame)) == ("cosines", ["seed", "angle"])
    assert common.frame.to_dict("records") == [{"fact": "about", "value": "directions"}]
    page = write_report(results / "table_10")
    assert "-0.750" in page.read_text()
    assert "0,-0.75" in (page.parent / "tables" / "cosines.csv").read_text()


def test_rows_of_directions_are_no_rows_of_scores(results):
    folder = results / "angles"
    folder.mkdir()
    directions = {"generator": ["sngan.scenes32"], "direction_seed": [0], "cosine": [-0.5]}
    pd.DataFrame(directions).to_parquet(folder / "rows.parquet")
    assert folder in result_folders(results)
    assert main(["report", str(folder)]) == 0
    assert "Inner product" in (results / "angles_report" / "report.html").read_text()


def test_what_else_a_sweep_has_drawn_is_shown(results):
    figures = results / "table_10_figures"
    figures.mkdir()
    Image.new("RGB", (40, 20), "red").save(figures / "strips.png")
    (section,) = (
        each for each in plain_report(results / "table_10").sections if each.parts[1:] == ()
    )
    assert section.parts[0].caption == "strips"


def test_a_damaged_table_is_named(results):
    (results / "table_10" / "cosines.parquet").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"cosines\.parquet"):
        write_report(results / "table_10")


def test_a_folder_without_any_results_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "has no rows" in capsys.readouterr().err


def test_a_folder_in_the_place_of_rows_is_no_empty_report(tmp_path, capsys):
    (tmp_path / "found" / "rows.parquet").mkdir(parents=True)
    assert main(["report", str(tmp_path / "found"), "--out", str(tmp_path / "page")]) == 2
    assert "rows.parquet is a folder" in capsys.readouterr().err
