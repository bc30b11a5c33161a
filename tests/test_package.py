"""The package as a whole: what importing it costs, its public names, its results reader."""

import ast
import pkgutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import gseg
from gseg.pipeline.rows import COLUMNS, make_row, merge_rows

ON_RAY = (
    "gseg.distributed",
    *(f"gseg.commands.{name}" for name in ("points", "search_run", "sweep")),
)
"""What runs sweeps; everything else is plain PyTorch."""


def run(program: str) -> str:
    """Run a program in a new process, where nothing is imported yet."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules() -> list[str]:
    found = pkgutil.walk_packages(gseg.__path__, "gseg.", onerror=lambda name: None)
    return [module.name for module in found]


def test_importing_the_package_or_the_command_costs_nothing() -> None:
    heavy = run("import sys, gseg, gseg.cli; print(*sys.modules)").split()
    assert not {"ray", "torch", "pandas", "numpy", "pyarrow", "matplotlib"} & set(heavy)


def test_nothing_but_what_runs_sweeps_imports_ray() -> None:
    plain = [name for name in modules() if not name.startswith(ON_RAY)]
    assert {
        "gseg.cli",
        "gseg.pipeline.trial",
        "gseg.pretraining.train",
        "gseg.reports.tables",
    } <= set(plain)
    program = f"""
import importlib, sys
for name in {plain}:
    importlib.import_module(name)
    if "ray" in sys.modules:
        print(name)
        break
"""
    assert run(program) == ""


def test_public_names_resolve() -> None:
    for name in gseg.__all__:
        assert callable(getattr(gseg, name))
        assert name in dir(gseg)


def test_type_checkers_see_the_public_names() -> None:
    tree = ast.parse(Path(gseg.__file__).read_text())
    imported = {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gseg.")
        for name in node.names
    }
    assert imported == set(gseg.__all__) == set(gseg._HOMES)


def test_the_flow_works_with_public_names_alone() -> None:
    generator = gseg.load_generator("analytic.ellipses32")
    direction = gseg.search_direction(generator, gseg.SearchConfig(steps=40))
    samples = gseg.draw(generator, direction, gseg.SampleConfig(), 64)
    config = replace(gseg.fit_preset("embedded"), steps=30, decay_at=None)
    trained = gseg.fit(samples.pictures, samples.masks, config)
    scores = gseg.score(trained.segmenter.probability, gseg.open_benchmark("scenes:20"))
    assert scores.aggregates["voynov2021"].iou > 0


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod_generator'"):
        gseg.lod_generator  # noqa: B018


def rows() -> list[dict[str, object]]:
    common = {"benchmark": "scenes", "metric_profile": "voynov2021", "method": "gan"}
    common["eval_protocol"] = "text"
    return [
        make_row({**common, "experiment": "c", "generator": "sngan.scenes32", "data_size": 2000}),
        make_row({**common, "experiment": "b", "generator": "sngan.scenes32", "data_size": 500}),
        make_row({**common, "experiment": "a", "generator": "ggan.scenes32", "iou": 0.5})
        | {"fid_reused": True, "finished": "2026-01-02T03:04:05Z"},
        make_row({**common, "experiment": "d", "method": "otsu"}),
    ]


def test_results(tmp_path: Path) -> None:
    merge_rows(tmp_path / "all_gans", rows())
    table = gseg.results(tmp_path / "all_gans")
    assert list(table.columns) == list(COLUMNS)
    assert table.experiment.tolist() == ["a", "b", "c", "d"]
    assert list(table.index) == [0, 1, 2, 3]
    assert table.data_size.dropna().tolist() == [500, 2000]
    assert str(table.data_size.dtype) == "Int64"
    assert str(table.fid_reused.dtype) == "boolean"
    assert table.finished[0] == pd.Timestamp("2026-01-02 03:04:05", tz="UTC")
    assert table.iou[0] == 0.5
    assert table.iou.isna().sum() == 3


def test_results_of_an_older_version(tmp_path: Path) -> None:
    merge_rows(tmp_path, rows())
    old = pq.read_table(tmp_path / "rows.parquet").drop_columns(["cosine", "finished"])
    pq.write_table(old, tmp_path / "rows.parquet")
    table = gseg.results(tmp_path)
    assert list(table.columns) == list(COLUMNS)
    assert table.cosine.isna().all()
    assert table.finished.isna().all()


def test_results_that_are_elsewhere(tmp_path: Path) -> None:
    merge_rows(tmp_path / "results" / "all_gans", rows())
    with pytest.raises(ValueError, match=r"has no rows .*did you mean .*results/all_gans\?"):
        gseg.results(tmp_path / "results")
    with pytest.raises(ValueError, match="a sweep writes them"):
        gseg.results(tmp_path / "typo")
