import re
from html import unescape
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gseg.cli import main
from gseg.pipeline.rows import make_row, merge_rows, read_rows


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


# What file systems allow in a name, and pages, Markdown, addresses and files do not.
ODD = ("-<b>|\n#%?[x](y)`日", "q" * 250)


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_safe_where_they_go(tmp_path, name, capsys):
    row = {"experiment": "e", "method": "gan", "generator": f"/d/{name}/g.py:f", "iou": 0.5}
    row |= {"eval_protocol": "text", "metric_profile": "melas2022_program", "images": 3}
    rows = [
        make_row({**row, "benchmark": benchmark, "accuracy": 0.6})
        # Two that only differ in what a file's name cannot hold.
        for benchmark in (f"folder:{name}", f"folder:{name}/", "scenes")
    ]
    folder = tmp_path / "all" / name[:200]
    merge_rows(folder, rows)
    out = tmp_path / "out"
    assert main(["report", str(tmp_path / "all"), "--out", str(out)]) == 0
    page = next(out.glob("*/report.html"))
    tables = sorted(file.name for file in (page.parent / "tables").glob("scores_*"))
    assert len(tables) == 3
    html, markdown = page.read_text(), page.with_suffix(".md").read_text()
    assert "<b>x" not in html
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(lines) > 6
    index = [line for line in (out / "index.md").read_text().splitlines() if line[:1] == "|"]
    assert len({len(re.split(r"(?<!\\)\|", line)) for line in index}) == 1
    # The address leads to the page, in Markdown and on the page.
    address = re.search(r'<a href="([^"]*report\.html)"', (out / "index.html").read_text())[1]
    assert (out / unquote(unescape(address))).is_file()
    assert f"]({unescape(address)})" in (out / "index.md").read_text()


@pytest.mark.parametrize("column", ["benchmark", "eval_protocol", "method"])
def test_rows_that_do_not_say_what_they_are_about_are_refused(results, capsys, column):
    file = results / "rows.parquet"
    whole = pq.read_table(file)
    pq.write_table(whole.drop_columns([column]), file)
    assert main(["report", str(results)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"rows.parquet has rows without {column}" in said or f"has no column {column}" in said


def test_no_rows_and_odd_numbers(results, capsys):
    file = results / "rows.parquet"
    (row,) = read_rows(results)
    merge_rows(results, [row | {"experiment": "f", "method": "gan", "generator": "ggan.scenes32"}])
    whole = pq.read_table(file)
    pq.write_table(whole.slice(0, 0), file)
    assert main(["report", str(results)]) == 2
    assert "rows.parquet holds no rows" in capsys.readouterr().err
    others = ("finished", "benchmark_digest", "generator")
    for name in ("iou", "accuracy", "fid", "contrast_weight", *others):
        pq.write_table(whole.drop_columns([name]), file)
        assert main(["report", str(results)]) == 0
        if name not in others:
            place = whole.schema.get_field_index(name)
            odd = pa.array([float("nan")] * 2, pa.float64())
            pq.write_table(whole.set_column(place, name, odd), file)
            assert main(["report", str(results)]) == 0
