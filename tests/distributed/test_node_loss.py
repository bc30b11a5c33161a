"""A node that disappears in the middle of a sweep, as a spot machine does."""

from dataclasses import replace

import pytest

from gseg.distributed.backend import RayBackend
from gseg.distributed.run import Listener, run_sweep
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context
from gseg.pipeline.rows import key_of
from gseg.pipeline.trial import run_trial

pytestmark = pytest.mark.ray

_COSTS = ("seconds", "reused", "finished", "rows", "peak_memory_mib", "commit")


class _Loss(Listener):
    """Removes a node as soon as the first trial has finished and others run."""

    def __init__(self, cluster, node):
        self._cluster, self._node = cluster, node
        self.rows, self.order, self.retries = {}, [], []

    def ended(self, record, rows):
        assert record.state == "complete", record.reason
        self.order.append(record.number)
        self.rows[record.number] = rows
        if self._node is not None:
            node, self._node = self._node, None
            self._cluster.remove_node(node, allow_graceful=False)

    def retried(self, point, attempt, reason):
        self.retries.append((point.number, attempt, reason))


def _settled(rows):
    """Give what must not depend on where and when a trial ran, by the row's key."""
    found = {}
    for row in rows:
        assert key_of(row) not in found
        for name, value in row.items():
            if not name.endswith(_COSTS):
                found[(*key_of(row), name)] = str(value)  # not a number is itself as a word
    return found


def test_a_node_is_lost_in_mid_sweep(tmp_path, cluster, tiny_experiment):
    training = tiny_experiment.training
    experiments = [
        replace(tiny_experiment, training=replace(training, seed=seed, steps=40, decay_at=30))
        for seed in range(5)
    ]
    setting = Context(storage=tmp_path / "cluster", benchmarks=("scenes:40",))
    events = _Loss(cluster, next(iter(cluster.worker_nodes)))
    run_sweep(experiments, setting, Resources(), listener=events, large=False)
    assert len(cluster.worker_nodes) == 1
    assert sorted(events.order) == list(range(5))
    assert all("ended" in reason for _, _, reason in events.retries)
    alone = Context(storage=tmp_path / "alone", benchmarks=("scenes:40",))
    backend = RayBackend(Resources(placement="process"))
    expected = [row for each in experiments for row in run_trial(each, alone, backend)]
    rows = [row for each in events.rows.values() for row in each]
    found, right = _settled(rows), _settled(expected)
    assert {
        key: (found.get(key), right[key]) for key in right if found.get(key) != right[key]
    } == {}
    assert len(found) == len(right)
