"""The examples of docs/analysis.md run, and say what they should."""

import re
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gseg
from gseg.pipeline.rows import SCHEMA, make_row, merge_rows
from gseg.reports.sweep import write_image_scores
from gseg.storage.store import Store

ROOT = Path(__file__).parents[1]
FIDS = {"a.scenes32": 9.0, "b.scenes32": 5.0, "c.scenes32": 2.0, "d.scenes32": 1.0}
IOUS = {"a.scenes32": 0.3, "b.scenes32": 0.6, "c.scenes32": 0.5, "d.scenes32": 0.8}


def _rows():
    common = {
        "benchmark": "scenes2",
        "eval_protocol": "text",
        "metric_profile": "melas2022_program",
        "accuracy": 0.9,
    }
    for seed in (0, 1):
        for size in (250, 4_000):
            for name, fid in FIDS.items():
                yield make_row(
                    {
                        **common,
                        "experiment": f"{name} {size} {seed}",
                        "method": "gan",
                        "generator": name,
                        "contrast_weight": 5.0,
                        "epsilon_sample": 1.0,
                        "mask_kind": "lighter",
                        "data_size": size,
                        "train_seed": seed,
                        "fid": fid,
                        "fid_protocol": "scenes",
                        "published_fid": fid,
                        "iou": IOUS[name] + seed / 50,
                        "validation_iou": IOUS[name],
                        "accuracy": 0.9 - fid / 100,
                    }
                )
    yield make_row({**common, "experiment": "otsu", "method": "otsu", "iou": 0.4})
    for rule in ("otsu", "mahalanobis"):
        facts = {
            "method": "distilled",
            "generator": "",
            "rule": rule,
            "data_size": 4_000,
            "train_seed": 0,
        }
        yield make_row({**common, **facts, "experiment": rule, "iou": 0.6})


def _write_images(folder, rows):
    """Ten pictures: each network has its IoU, d.scenes32 .02 more in every second one."""
    folder.mkdir(parents=True)
    pictures = pd.DataFrame({"id": list("abcdefghij"), "profile": "melas2022_program"})
    for row in rows:
        more = 0.02 * (pictures.index % 2) if row["generator"] == "d.scenes32" else 0
        table = pictures.assign(experiment=row["experiment"], iou=row["iou"] + more)
        table.to_parquet(folder / f"{row['experiment']}.parquet")


def test_the_documentation_s_examples_run(tmp_path, monkeypatch, capsys):
    merge_rows(tmp_path / "results" / "all_gans", _rows())
    _write_images(tmp_path / "results" / "all_gans_images", _rows())
    shutil.copytree(ROOT / "results" / "published", tmp_path / "results" / "published")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "analysis.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) > 5
    names = {}
    with mpl.rc_context({"backend": "Agg"}):
        for block in blocks:
            exec(block, names)
    shown = capsys.readouterr().out
    # Ranks of the negative distances are 1 2 3 4, of the IoU 1 3 2 4.
    assert "iou: Pearson 0.82, Spearman 0.80, n = 4" in shown
    assert "accuracy: Pearson 1.00, Spearman 1.00, n = 4" in shown
    assert "bigbigan.imagenet128" in shown
    # .8 and .82 of two seeds, and .01 more in the mean over pictures, over .6.
    told = re.search(r"d.scenes32 over \w+: (.*), 95 % interval (.*) to (.*)", shown).groups()
    gain, low, high = map(float, told)
    assert gain == 0.22
    assert 0.21 <= low < 0.22 < high <= 0.23
    best = names["means"].sort_values("iou").iloc[-1]
    assert best.generator == "d.scenes32"
    assert best.iou == pytest.approx(0.81)
    assert best.trials == 2


def _block(file, place):
    """One of the Python examples of a document."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / file).read_text(), flags=re.DOTALL)
    return next(block for block in blocks if place in block)


def test_rows_and_pictures_join_without_more_rows(tmp_path, monkeypatch, capsys):
    """Of several sets, two of one name among them, protocols, profiles, and a baseline."""
    monkeypatch.chdir(tmp_path)
    profiles = ("melas2022_program", "voynov2021_program")
    rows = [
        make_row(
            {
                **{"experiment": experiment, "method": method, "generator": "a.scenes32"},
                **{"benchmark": benchmark, "benchmark_digest": content, "eval_protocol": protocol},
                **{"metric_profile": profile, "iou": 0.5, "accuracy": 0.9, "data_size": 10},
                "scores": f"{benchmark}{content}{protocol}",
            }
        )
        for experiment, method in (("one", "gan"), ("two", "gan"), ("three", "otsu"))
        for benchmark, content in (("scenes2", "aa"), ("scenes2", "bb"), ("birds", "aa"))
        for protocol in ("text", "program")
        for profile in profiles
    ]
    merge_rows(tmp_path / "results" / "all_gans", rows)
    pictures = pd.DataFrame(
        {"id": ["0", "1"] * 2, "profile": np.repeat(profiles, 2), "iou": [0.1, 0.9, 0.2, 0.8]}
    )
    (tmp_path / "scores").mkdir()
    pictures.to_parquet(tmp_path / "scores" / "images.parquet")
    monkeypatch.setattr(Store, "find", lambda self, *_: SimpleNamespace(folder=tmp_path / "scores"))
    for _ in range(2):
        write_image_scores(tmp_path / "results" / "all_gans_images", rows, tmp_path)
    names = {}
    for place in ("chosen =", "many_to_one"):
        exec(_block("results/README.md", place), names)
    # 3 experiments, 2 sets of that name, 2 protocols, 2 pictures; one profile.
    assert len(names["images"]) == 24
    assert capsys.readouterr().out.splitlines()[-3:-1] == ["0    0.1", "1    0.9"]
    exec(_block("README.md", "import pandas"), {})


def test_points_and_rows_join_without_more_rows(tmp_path, monkeypatch, capsys):
    rows = [
        make_row(
            {
                **{"experiment": f"{point}{seed}", "benchmark": benchmark, "method": "gan"},
                **{"eval_protocol": "text", "metric_profile": profile, "iou": point / 10},
            }
        )
        for point in range(3)
        for seed in "ab"
        for benchmark in ("scenes2", "birds")
        for profile in ("melas2022_program", "voynov2021_program")
    ]
    merge_rows(tmp_path / "results" / "search", rows)
    points = {
        "state": ["complete"] * 3,
        "experiments": [f"{point}a,{point}b" for point in range(3)],
        "objective_combined": [0.1, 0.2, 0.3],
    }
    (tmp_path / "results" / "search_trials").mkdir()
    pd.DataFrame(points).to_parquet(tmp_path / "results" / "search_trials" / "trials.parquet")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(_block("docs/searches.md", "search_trials"), names)
    assert len(names["both"]) == 6
    assert "1.0" in capsys.readouterr().out


def test_a_hundred_thousand_rows_open_in_two_seconds(tmp_path):
    """In time of this process' threads: what else the machine does is not the reader's."""
    count = 100_000
    numbers = np.arange(count)
    kinds = {
        pa.string(): pa.array(np.char.add("value ", (numbers % 12).astype(str))),
        pa.float64(): pa.array(np.random.default_rng(0).random(count)),
        pa.int64(): pa.array(numbers % 7),
        pa.bool_(): pa.array(numbers % 2 == 0),
    }
    columns = {field.name: kinds[field.type] for field in SCHEMA}
    columns["experiment"] = pa.array([f"{number * 7919 % count:020x}" for number in range(count)])
    columns["finished"] = pa.array(["2026-01-01T00:00:00Z"] * count)
    pq.write_table(pa.table(columns, schema=SCHEMA), tmp_path / "rows.parquet")
    seconds = []
    for _ in range(3):
        started = time.process_time()
        rows = gseg.results(tmp_path)
        seconds.append(time.process_time() - started)
    assert len(rows) == count
    assert min(seconds) < 2
