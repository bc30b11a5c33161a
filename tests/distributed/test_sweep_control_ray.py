"""Sweeps on Ray that are stopped, tried again, or run twice at the same time."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from gseg.distributed.runtime import Resources
from gseg.distributed.sweep import Listener, run_sweep
from gseg.pipeline.failures import known_failure
from gseg.pipeline.rows import KEY
from gseg.pipeline.trial import Context, find_rows
from gseg.samples import FilterConfig
from gseg.storage.builds import SHARD, count_builds
from gseg.storage.store import Store

pytestmark = pytest.mark.ray

_ROOT = Path(__file__).parents[2]
_SILENT_ONCE = """
from pathlib import Path
from gseg.generators.analytic import analytic_generator

def make():
    mark = Path(__file__).with_name("tried")
    if not mark.exists():
        mark.touch()
        raise ConnectionError("the store is silent")
    return analytic_generator(32)
"""


class _Events(Listener):
    def __init__(self):
        self.begun, self.done, self.failures, self.retries = [], [], [], []

    def started(self, number):
        self.begun.append(number)

    def finished(self, number, rows):
        self.done.append(number)

    def failed(self, failure, number):
        self.failures.append((number, failure))

    def retried(self, number, attempt, reason):
        self.retries.append((number, attempt, reason))


def test_what_the_machines_did_is_tried_again_and_an_own_fault_is_kept(
    tmp_path, local_ray, tiny_experiment
):
    (tmp_path / "mine.py").write_text(_SILENT_ONCE)
    shaky = replace(tiny_experiment, generator=f"{tmp_path}/mine.py:make")
    filters = FilterConfig(min_share=0.4999, max_share=0.4999)
    picky = replace(
        tiny_experiment,
        samples=replace(tiny_experiment.samples, batch=256, blocks_per_shard=40, filters=filters),
    )
    setting, events = Context(storage=tmp_path / "storage", benchmarks=("scenes:20",)), _Events()
    failures = run_sweep([shaky, picky], setting, Resources(), listener=events, large=False)
    assert events.retries == [(0, 1, "the store is silent")]
    assert events.done == [0]
    assert find_rows(shaky, setting, "cpu") is not None
    assert not list((tmp_path / "storage" / "failures").glob(f"*{shaky.digest}*"))
    (failure,) = failures
    assert failure.experiment == picky
    kept = known_failure(picky, setting)
    assert kept is not None
    assert kept.reason == failure.reason
    assert "candidates were accepted" in kept.reason
    assert known_failure(shaky, setting) is None


def test_when_the_time_is_up_work_in_progress_is_left_to_the_next_sweep(
    tmp_path, local_ray, tiny_experiment
):
    setting, events = Context(storage=tmp_path, benchmarks=("scenes:20",)), _Events()
    training = replace(tiny_experiment.training, steps=200_000, decay_at=None)
    long = [replace(tiny_experiment, training=replace(training, seed=n)) for n in range(4)]

    failures = run_sweep(
        long, setting, Resources(concurrency=1), listener=events, large=False, seconds=12
    )
    assert failures == []
    assert events.done == []
    assert events.begun == [0]
    before = count_builds(tmp_path)
    assert ("direction", 1) in {(stage, count) for (stage, _), count in before.items()}
    again = _Events()
    run_sweep([tiny_experiment], setting, Resources(), listener=again, large=False)
    assert again.done == [0]
    assert set(count_builds(tmp_path).values()) == {1}


def _command(folder: Path, *sizes: str) -> list[str]:
    return [
        sys.executable,
        str(_ROOT / "sweeps" / "all_gans.py"),
        *("--grid", "smoke", "--generators", "analytic.ellipses32", "--benchmark", "scenes:40"),
        *("--data-size", *sizes, "--storage", str(folder / "storage")),
        *("--results", str(folder / "results"), "--plain", "--cpus", "1"),
    ]


def test_two_drivers_on_the_same_storage_share_the_work(tmp_path):
    commands = [_command(tmp_path, "60", "120", "200"), _command(tmp_path, "200", "120", "90")]
    drivers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command in commands
    ]
    shown = [driver.communicate(timeout=400)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], shown
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
    assert stages.count("segmenter") == 8
    assert stages.count(SHARD) >= 2
    assert not list((tmp_path / "storage").rglob("lease.json"))
    store = Store(tmp_path / "storage", read_only=True)
    assert all(store.find("scores", name) for name in rows.scores)
