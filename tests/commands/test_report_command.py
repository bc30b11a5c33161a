import pytest

from gseg.cli import main
from gseg.pipeline.rows import make_row, merge_rows


@pytest.fixture
def results(tmp_path):
    row = {"experiment": "e", "method": "otsu", "benchmark": "scenes", "eval_protocol": "text"}
    score = {"metric_profile": "melas2022_program", "iou": 0.5, "accuracy": 0.6, "images": 3}
    merge_rows(tmp_path / "all_gans", [make_row(row | score)])
    return tmp_path / "all_gans"


def test_a_report_is_written_beside_the_results(results, capsys):
    assert main(["report", str(results)]) == 0
    page = results.with_name("all_gans_report") / "report.html"
    assert "Otsu threshold" in page.read_text()
    assert str(page) in capsys.readouterr().out.replace("\n", "")


def test_a_report_goes_where_it_is_asked_to(results, tmp_path):
    (tmp_path / "storage").mkdir()
    options = ["--out", str(tmp_path / "new"), "--storage", str(tmp_path / "storage")]
    assert main(["report", str(results), *options]) == 0
    assert (tmp_path / "new" / "report.md").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--storage", "nowhere"], "there is no folder nowhere"),
        (["--benchmark", "scenes"], "add --storage DIR"),
    ],
)
def test_wrong_use_costs_one_line(results, capsys, options, said):
    assert main(["report", str(results), *options]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_rows_is_named(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "has no rows" in capsys.readouterr().err


def test_published_numbers_are_written(tmp_path, capsys):
    assert main(["published", "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "tables.parquet").exists()
    assert "652 numbers" in capsys.readouterr().out
