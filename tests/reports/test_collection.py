import pandas as pd
import pytest
from PIL import Image

from gseg.cli import main
from gseg.reports.plain import plain_report
from gseg.reports.report import result_folders, write_index, write_report


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
