import re
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gseg.metrics.counts import pixel_histogram
from gseg.metrics.profiles import metric_profile
from gseg.metrics.sums import MetricSums
from gseg.pipeline.row_values import score_values
from gseg.pipeline.rows import (
    COLUMNS,
    KEY,
    SCHEMA,
    check_weights,
    fill_rows,
    known_scores,
    make_row,
    merge_rows,
    read_rows,
    results,
)

_README = Path(__file__).parents[2] / "results" / "README.md"
_TYPES = {
    pa.string(): "text",
    pa.float64(): "number",
    pa.int64(): "whole number",
    pa.bool_(): "yes or no",
}


def _row(experiment="a", benchmark="scenes", profile="p", **values):
    key = {"experiment": experiment, "benchmark": benchmark, "metric_profile": profile}
    key["benchmark_digest"] = f"digest of {benchmark}"
    return make_row({**key, "eval_protocol": "text", "scores": f"scores of {experiment}", **values})


def _table():
    lines = ["| column | type | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {_TYPES[kind]} | {text} |" for name, (kind, text) in COLUMNS.items()]
    return "\n".join(lines) + "\n"


def test_readme_has_every_column():
    """After a change of the columns: put what `_table` gives into the file."""
    written = "".join(re.findall(r"^\|.*\n", _README.read_text(), flags=re.MULTILINE))
    assert written == _table()


def test_examples_of_the_readme_work(tmp_path, monkeypatch, capsys):
    common = {"method": "gan", "data_size": 4000, "accuracy": 0.9, "max_f_beta": 0.8}
    rows = [
        _row("a", "scenes2", "melas2022_program", generator="x.y", iou=0.7, fid=3.5, **common),
        _row("b", "scenes2", "melas2022_program", generator="z.y", iou=0.8, fid=2.5, **common),
        _row("c", "scenes2", "melas2022_program", method="otsu", iou=0.6),
    ]
    merge_rows(tmp_path / "results" / "all_gans", rows)
    images = pd.DataFrame({"id": ["1"], "profile": ["melas2022_program"], "iou": [0.7]})
    (tmp_path / "results" / "all_gans_images").mkdir()
    for row in rows[:2]:
        of_row = {name: row[name] for name in KEY if name != "metric_profile"}
        file = tmp_path / "results" / "all_gans_images" / f"{row['experiment']}.parquet"
        images.assign(**of_row).to_parquet(file)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", _README.read_text(), flags=re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(block, names)
    shown = capsys.readouterr().out
    assert shown.index("z.y") < shown.index("x.y")  # best first


def test_a_row_has_all_columns_in_order():
    row = _row(iou=0.5)
    assert tuple(row) == tuple(COLUMNS)
    assert row["iou"] == 0.5
    assert row["fid"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["finished"])
    assert make_row(row) == row


def test_every_score_of_a_profile_has_its_column():
    means = asdict(_aggregate()) | {"empty_masks": 0}
    limits = {name: 0.5 for name in COLUMNS if name.endswith(("_low", "_high"))}
    row = make_row(score_values({**means, **limits}))
    left = set(means) - {"profile", "undefined_iou"}
    assert {name: row[name] for name in left} == {name: means[name] for name in left}
    assert 0 < row["mean_f_beta"] < row["max_f_beta"]


def _aggregate():
    sums = MetricSums(profile=metric_profile("sod"))
    rng = torch.Generator().manual_seed(0)
    probability = torch.rand(3, 8, 8, generator=rng)
    sums.update(pixel_histogram(probability, probability > 0.6))
    return sums.compute()


def test_an_unknown_column_is_refused():
    with pytest.raises(ValueError, match="Not a column of the results: IoU"):
        make_row({"IoU": 1.0})


def test_columns_have_a_type_and_a_meaning():
    assert set(KEY) < set(COLUMNS)
    assert {kind for kind, _ in COLUMNS.values()} == set(_TYPES)
    assert all(text.endswith(".") and "|" not in text for _, text in COLUMNS.values())


def test_rows_come_back_as_they_were(tmp_path):
    rows = [_row("b", iou=0.5, data_size=3, fid_reused=False), _row("a")]
    assert merge_rows(tmp_path / "new" / "all_gans", rows) == 2
    assert read_rows(tmp_path / "new" / "all_gans") == rows[::-1]
    assert read_rows(tmp_path / "absent") == []


def test_a_row_of_the_same_key_is_replaced(tmp_path):
    merge_rows(tmp_path, [_row("a", iou=0.1), _row("a", "folder:x"), _row("b")])
    count = merge_rows(tmp_path, [_row("a", iou=0.2), _row("a", profile="q"), _row("a", iou=0.3)])
    assert count == 4
    keys = [tuple(row[name] for name in KEY) for row in read_rows(tmp_path)]
    assert keys == [
        ("a", "folder:x", "digest of folder:x", "text", "p"),
        ("a", "scenes", "digest of scenes", "text", "p"),
        ("a", "scenes", "digest of scenes", "text", "q"),
        ("b", "scenes", "digest of scenes", "text", "p"),
    ]
    assert [row["iou"] for row in read_rows(tmp_path)] == [None, 0.3, None, None]


def test_merging_nothing_changes_nothing(tmp_path):
    merge_rows(tmp_path, [_row("a")])
    before = read_rows(tmp_path)
    assert merge_rows(tmp_path, []) == 1
    assert read_rows(tmp_path) == before


def test_the_folder_holds_one_file_that_pandas_reads(tmp_path):
    merge_rows(tmp_path, [_row("a", data_size=5)])
    merge_rows(tmp_path, [_row("b")])
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
    assert pq.read_schema(tmp_path / "rows.parquet").equals(SCHEMA)
    table = pd.read_parquet(tmp_path)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 2


_WRITER = """
import sys
from pathlib import Path
from gseg.pipeline.rows import make_row, merge_rows

for number in range(8):
    name = f"{sys.argv[2]}{number}"
    row = {"experiment": name, "benchmark": "b", "metric_profile": "p", "eval_protocol": "text"}
    merge_rows(Path(sys.argv[1]), [make_row({**row, "scores": name})])
"""


def test_of_two_processes_that_add_rows_none_loses_the_other_s(tmp_path):
    folder = tmp_path / "all"
    both = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(folder), name]) for name in ("a", "b")
    ]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    found = [row["experiment"] for row in read_rows(folder)]
    assert sorted(found) == [f"{name}{number}" for name in "ab" for number in range(8)]
    assert [path.name for path in folder.iterdir()] == ["rows.parquet"]


def test_known_scores(tmp_path):
    assert known_scores(tmp_path) == {}
    merge_rows(tmp_path, [_row("a"), _row("b", scores=None)])
    assert known_scores(tmp_path) == {
        ("a", "scenes", "digest of scenes", "text", "p"): "scores of a",
        ("b", "scenes", "digest of scenes", "text", "p"): None,
    }


def test_rows_of_an_older_version_are_completed(tmp_path):
    merge_rows(tmp_path, [_row("a", iou=0.5)])
    path = tmp_path / "rows.parquet"
    table = pq.read_table(path).drop_columns(["cosine"]).append_column("gone", pa.array([1]))
    pq.write_table(table, path)
    assert merge_rows(tmp_path, [_row("b", cosine=-1.0)]) == 2
    assert [row["cosine"] for row in read_rows(tmp_path)] == [None, -1.0]
    assert pq.read_schema(path).equals(SCHEMA)


def test_a_damaged_file_is_named_and_left_alone(tmp_path):
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"not Parquet at all")
    for reads in (read_rows, known_scores, lambda folder: merge_rows(folder, [_row()])):
        with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
            reads(tmp_path)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"not Parquet at all"


def test_rows_of_two_evaluation_protocols_stand_side_by_side(tmp_path):
    values = {"experiment": "e", "benchmark": "b", "metric_profile": "p"}
    for protocol in ("text", "melas_program"):
        merge_rows(tmp_path, [make_row({**values, "eval_protocol": protocol, "scores": protocol})])
    assert {row["eval_protocol"] for row in read_rows(tmp_path)} == {"text", "melas_program"}


def test_two_sets_of_one_name_stand_side_by_side(tmp_path):
    merge_rows(tmp_path, [_row("a", "folder:test", benchmark_digest="birds", iou=0.1)])
    merge_rows(tmp_path, [_row("a", "folder:test", benchmark_digest="cats", iou=0.2)])
    merge_rows(tmp_path, [_row("a", "folder:test", benchmark_digest="birds", iou=0.3)])
    found = {row["benchmark_digest"]: row["iou"] for row in read_rows(tmp_path)}
    assert found == {"birds": 0.3, "cats": 0.2}


def _write_without_digests(folder, rows):
    merge_rows(folder, rows)
    table = pq.read_table(folder / "rows.parquet")
    pq.write_table(table.drop_columns(["benchmark_digest", "weights"]), folder / "rows.parquet")


def test_a_row_of_before_is_replaced_by_the_first_of_its_name(tmp_path):
    old = [_row("a", "folder:x", iou=0.1), _row("a", "folder:y", iou=0.2), _row("b", "folder:x")]
    _write_without_digests(tmp_path, old)
    assert merge_rows(tmp_path, [_row("a", "folder:x", iou=0.3)]) == 3
    found = {(row["experiment"], row["benchmark"]): row for row in read_rows(tmp_path)}
    assert found["a", "folder:x"]["iou"] == 0.3
    assert found["a", "folder:x"]["benchmark_digest"] == "digest of folder:x"
    assert found["a", "folder:y"]["iou"] == 0.2
    assert found["a", "folder:y"]["benchmark_digest"] is None


def test_a_row_of_before_gets_the_digest_only_if_its_scores_are_those(tmp_path):
    """What was scored by names and sizes may have been of other pictures."""
    _write_without_digests(tmp_path, [_row("a", iou=0.5), _row("b", "folder:x", iou=0.25)])
    today = [_row("a", iou=0.5, weights="w"), _row("b", "folder:x", iou=0.75, scores="new")]
    fill_rows(tmp_path, today)
    first, second = read_rows(tmp_path)
    assert (first["benchmark_digest"], first["weights"]) == ("digest of scenes", "w")
    assert (second["benchmark_digest"], second["iou"]) == (None, 0.25)
    merge_rows(tmp_path, today[1:])
    assert [row["iou"] for row in read_rows(tmp_path)] == [0.5, 0.75]


def test_rows_of_an_older_version_are_filled_and_nothing_else_changes(tmp_path):
    merge_rows(tmp_path, [_row("a", iou=0.5, search_steps=7), _row("b", iou=0.25, search_steps=8)])
    whole = pq.read_table(tmp_path / "rows.parquet")
    pq.write_table(whole.drop_columns(["search_steps", "max_share"]), tmp_path / "rows.parquet")
    fill_rows(tmp_path, [_row("a", iou=0.9, search_steps=7, max_share=0.5), _row("c", iou=1.0)])
    first, second = read_rows(tmp_path)
    assert (first["iou"], first["search_steps"], first["max_share"]) == (0.5, 7, 0.5)
    assert (second["iou"], second["search_steps"], second["max_share"]) == (0.25, None, None)
    before = (tmp_path / "rows.parquet").stat().st_mtime_ns
    fill_rows(tmp_path, [_row("b", search_steps=8)])
    assert (tmp_path / "rows.parquet").stat().st_mtime_ns == before
    fill_rows(tmp_path / "nowhere", [_row("a")])
    assert not (tmp_path / "nowhere").exists()


def test_a_number_that_has_changed_on_the_disk_is_not_read(tmp_path):
    merge_rows(tmp_path, [_row(name, iou=0.1 + place / 7) for place, name in enumerate("abcdef")])
    path = tmp_path / "rows.parquet"
    content, rows = path.read_bytes(), read_rows(tmp_path)
    refused = 0
    for place in range(4, len(content) // 4, max(1, len(content) // 160)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            assert read_rows(tmp_path) == rows
        except ValueError:
            refused += 1
    assert refused > 0


def test_a_generator_s_name_stands_for_one_set_of_weights(tmp_path):
    """Or a table takes rows of two for seeds of one."""
    of = partial(_row, generator="biggan.scenes32", method="gan")
    _write_without_digests(tmp_path, [of("older")])
    check_weights(tmp_path, {"biggan.scenes32": "w2"})
    merge_rows(tmp_path, [of("a", weights="w1"), of("b", weights="w2", generator="other")])
    check_weights(tmp_path, {"biggan.scenes32": "w1", "new": "w2"})
    assert len(results(tmp_path)) == 3
    with pytest.raises(ValueError, match=r"other weights that are called biggan\.scenes32, too"):
        check_weights(tmp_path, {"biggan.scenes32": "w2"})
    merge_rows(tmp_path, [of("c", weights="w2")])
    with pytest.raises(ValueError, match="name another one"):
        results(tmp_path)
