"""The same trial in one process and as distributed jobs."""

import os
import threading
import time
from dataclasses import replace

import psutil
import pytest

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context
from gseg.pipeline.graph import Workshop
from gseg.pipeline.trial import find_parts, run_trial, sample_nodes
from gseg.samples.sets import load_samples
from gseg.storage.store import Store

pytestmark = pytest.mark.ray

_SCORES = ("accuracy", "iou", "f_beta", "max_f_beta")


def _samples(experiment, setting):
    parts = find_parts(experiment, setting, "cpu")
    pairs = parts.members[0].samples.pairs
    return load_samples(pairs.shards, pairs.count)


@pytest.mark.slow  # stage by stage elsewhere, and together in test_sweep.py under Tune
def test_a_trial_is_the_same_on_the_cluster(tmp_path, tiny_experiment, local_ray):
    rows, samples = {}, {}
    for placement in ("process", "cluster"):
        setting = Context(storage=tmp_path / placement, benchmarks=("scenes:40",))
        backend = RayBackend(Resources(placement=placement, actors=2))
        rows[placement] = run_trial(tiny_experiment, setting, backend)
        samples[placement] = _samples(tiny_experiment, setting)
    here, there = samples["process"], samples["cluster"]
    assert here.indices.equal(there.indices)
    assert here.pictures.equal(there.pictures)
    assert here.masks.equal(there.masks)
    assert here.counts == there.counts
    for mine, other in zip(rows["process"], rows["cluster"], strict=True):
        assert mine["experiment"] == other["experiment"]
        for name in (*_SCORES, "validation_iou", "foreground_share"):
            assert mine[name] == pytest.approx(other[name], abs=1e-4), name


class _KillWorkers(threading.Thread):
    """Kills the first actor of the pool, once it has left a shard."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self._folder, self.killed = folder, 0

    def run(self):
        while not any(self._folder.glob("samples/*/shard-*.parquet")):
            time.sleep(0.01)
        for process in psutil.Process().children(recursive=True):
            if "_Worker" in process.name() or "_Worker" in " ".join(process.cmdline()):
                process.kill()
                self.killed += 1
                return


def test_killing_a_drawing_worker_changes_nothing(tmp_path, tiny_experiment, local_ray):
    config = replace(tiny_experiment.samples, blocks_per_shard=16)
    sets = {}
    for case in ("undisturbed", "killed"):
        store = Store(tmp_path / case)
        process = RayBackend(Resources(placement="process"))
        setting = Context(storage=store.root, benchmarks=("scenes:40",))
        run_trial(tiny_experiment, setting, process)
        for shard in store.root.glob("samples/*/*"):
            shard.unlink()
        killer = _KillWorkers(store.root)
        if case == "killed":
            killer.start()
        placement = "cluster" if case == "killed" else "process"
        backend = RayBackend(Resources(placement=placement, actors=2))
        wanted = replace(sample_nodes(tiny_experiment, "cpu")[0], samples=config, count=1500)
        drawn = Workshop(store, backend).make(wanted)
        assert killer.killed == (case == "killed")
        sets[case] = load_samples(drawn.pairs.shards, 1500)
    assert sets["killed"].pictures.equal(sets["undisturbed"].pictures)
    assert sets["killed"].masks.equal(sets["undisturbed"].masks)
    assert sets["killed"].indices.equal(sets["undisturbed"].indices)


def test_short_work_leaves_a_process_without_the_device(local_ray):
    """What a trial on GPUs does whose own process holds none."""
    here, away = RayBackend(Resources()), RayBackend(Resources())
    away._blind = True
    assert here.call(lambda: {"pid": os.getpid()}) == {"pid": os.getpid()}
    assert away.call(lambda: {"pid": os.getpid()})["pid"] != os.getpid()
