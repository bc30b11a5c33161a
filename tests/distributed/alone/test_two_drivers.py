"""Sweeps that run twice at the same time."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gseg.pipeline.rows import KEY
from gseg.storage.store import SHARD, Store, count_builds

_ROOT = Path(__file__).parents[3]


def _command(folder: Path, *sizes: str) -> list[str]:
    return [
        sys.executable,
        str(_ROOT / "sweeps" / "all_gans.py"),
        *("--preset", "smoke", "--generators", "analytic.ellipses32", "--benchmark", "scenes:40"),
        *("--data-size", *sizes, "--storage", str(folder / "storage")),
        *("--results", str(folder / "results"), "--plain", "--cpus", "1"),
    ]


@pytest.mark.ray
def test_two_drivers_on_the_same_storage_share_the_work(tmp_path):
    commands = [_command(tmp_path, "60", "120", "200"), _command(tmp_path, "200", "120", "90")]
    drivers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command in commands
    ]
    shown = [driver.communicate(timeout=400)[0] for driver in drivers]
    for driver, said in zip(drivers, shown, strict=True):
        assert driver.returncode == 0, said[-2000:]
    rows = pd.read_parquet(tmp_path / "results" / "all_gans").set_index(list(KEY))
    assert rows.index.is_unique
    trained = rows[rows.method.isin(["gan", "true_masks"])].reset_index()
    counts = trained.groupby(["method", "data_size"]).experiment.nunique()
    assert counts.to_dict() == {
        (method, size): 1 for method in ("gan", "true_masks") for size in (60, 90, 120, 200)
    }
    builds = count_builds(tmp_path / "storage")
    assert set(builds.values()) == {1}
    stages = [stage for stage, _ in builds]
    assert stages.count("direction") == 1
    assert stages.count("segmenter") == 8 + 2  # and from 100 scenes with the masks of two rules
    assert stages.count(SHARD) >= 2
    assert not list((tmp_path / "storage").rglob("lease.json"))
    store = Store(tmp_path / "storage", read_only=True)
    assert all(store.find("scores", name) for name in rows.scores)
