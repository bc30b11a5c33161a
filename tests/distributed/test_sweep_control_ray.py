"""Sweeps on Ray that are stopped or tried again."""

from dataclasses import replace

import pytest

from gseg.distributed.run import Listener, run_sweep
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context
from gseg.pipeline.failures import known_failure
from gseg.pipeline.trial import find_rows
from gseg.samples.config import FilterConfig
from gseg.storage.store import count_builds

pytestmark = pytest.mark.ray

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
        self.begun, self.done, self.retries = [], [], []

    def started(self, point):
        self.begun.append(point.number)

    def ended(self, record, rows):
        if record.state == "complete":
            self.done.append(record.number)

    def retried(self, point, attempt, reason):
        self.retries.append((point.number, attempt, reason))


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
    _, failed = run_sweep([shaky, picky], setting, Resources(), listener=events, large=False)
    assert events.retries == [(0, 1, "the store is silent")]
    assert events.done == [0]
    assert find_rows(shaky, setting, "cpu") is not None
    assert not list((tmp_path / "storage" / "failures").glob(f"*{shaky.digest}*"))
    assert failed.state == "failed"
    assert failed.own_fault
    kept = known_failure(picky, setting)
    assert kept is not None
    assert kept.reason == failed.reason
    assert "candidates were accepted" in kept.reason
    assert known_failure(shaky, setting) is None


def test_when_the_time_is_up_work_in_progress_is_left_to_the_next_sweep(
    tmp_path, local_ray, tiny_experiment
):
    setting, events = Context(storage=tmp_path, benchmarks=("scenes:20",)), _Events()
    training = replace(tiny_experiment.training, steps=200_000, decay_at=None)
    long = [replace(tiny_experiment, training=replace(training, seed=n)) for n in range(4)]

    records = run_sweep(
        long, setting, Resources(concurrency=1), listener=events, large=False, seconds=12
    )
    assert records == []
    assert events.done == []
    assert events.begun == [0]
    before = count_builds(tmp_path)
    assert ("direction", 1) in {(stage, count) for (stage, _), count in before.items()}
    again = _Events()
    run_sweep([tiny_experiment], setting, Resources(), listener=again, large=False)
    assert again.done == [0]
    assert set(count_builds(tmp_path).values()) == {1}
