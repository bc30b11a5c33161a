"""Sweeps on Ray that are stopped or tried again."""

import errno
from dataclasses import replace

import pytest
import torch

from gseg.distributed.run import Listener, run_sweep
from gseg.distributed.runtime import Resources
from gseg.generators.catalogue import full_name
from gseg.pipeline.experiment import Context
from gseg.pipeline.failures import known_failure
from gseg.pipeline.trial import find_rows
from gseg.samples.config import FilterConfig, filter_preset
from gseg.storage.files import DiskFullError, replacing
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


def test_what_fails_where_results_are_kept_is_told_as_itself(tmp_path, local_ray, tiny_experiment):
    """And not as an error of Tune's, in whose callback it happens."""
    setting = Context(storage=tmp_path / "storage", benchmarks=("scenes:20",))

    def keep(*_):
        with replacing(tmp_path / "rows.parquet"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFullError, match=f"^The disk of {tmp_path} is full: rows.parquet needs"):
        run_sweep([tiny_experiment], setting, Resources(), keep=keep, large=False)
    assert find_rows(tiny_experiment, setting, "cpu") is not None


_READS_BESIDE = """
import torch
from beside import Net
from gseg.generators.cards import GeneratorCard
from gseg.generators.contract import Generator

def make():
    from later import NAME
    network = Net()
    network.load_state_dict(torch.load("w.pt", weights_only=True))
    return Generator(network, GeneratorCard(
        name=NAME, family="Flat", architecture="flat", dataset="colours",
        resolution=32, num_classes=0, latent_dim=8, code_dim=8))
"""
_BESIDE = """
from torch import nn

class Net(nn.Linear):
    def __init__(self):
        super().__init__(8, 3 * 32)

    def forward(self, z, y=None):
        return super().forward(z).tanh().reshape(-1, 3, 32, 1).expand(-1, -1, -1, 32)
"""


@pytest.mark.parametrize("placement", ["process", "cluster"])
def test_trials_run_where_the_driver_does(
    tmp_path, local_ray, tiny_experiment, monkeypatch, placement
):
    """What a generator reads beside it is found by trials, actors and workers as by a dry run."""
    (tmp_path / "mine.py").write_text(_READS_BESIDE)
    (tmp_path / "beside.py").write_text(_BESIDE)
    (tmp_path / "later.py").write_text("NAME = 'flat.colours32'\n")
    torch.manual_seed(0)
    torch.save(torch.nn.Linear(8, 96).state_dict(), tmp_path / "w.pt")
    monkeypatch.chdir(tmp_path)
    filters = filter_preset("none")
    samples = replace(tiny_experiment.samples, filters=filters)
    own = replace(tiny_experiment, generator=full_name("mine.py:make"), samples=samples)
    setting = Context(storage=tmp_path / "storage", benchmarks=("scenes:20",))
    resources = Resources(placement=placement)
    (record,) = run_sweep([own], setting, resources, large=placement == "cluster")
    assert (record.state, record.reason) == ("complete", "")
    assert find_rows(own, setting, "cpu") is not None
