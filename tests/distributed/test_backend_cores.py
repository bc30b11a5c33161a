"""What a backend decides without Ray: cores of those who share a GPU, nothing to do, faults."""

from dataclasses import dataclass

import pytest
import ray

from gseg.distributed.backend import RayBackend, _Worker
from gseg.distributed.runtime import Resources
from gseg.pipeline.jobs.job import Job


@pytest.mark.parametrize(
    ("cpus", "gpus", "share", "cores"),
    [(16, 1, 1.0, 16), (16, 1, 0.25, 4), (4, 1, 0.25, 1), (2, 1, 0.1, 1), (64, 8, 1.0, 8)],
)
def test_cores_are_divided_among_those_who_share_gpus(monkeypatch, cpus, gpus, share, cores):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": cpus, "GPU": gpus})
    assert RayBackend(Resources(gpus_per_trial=share))._cores() == cores


def test_without_gpus_nothing_is_asked(monkeypatch):
    monkeypatch.delattr(ray, "cluster_resources")
    assert RayBackend(Resources())._cores() is None


def test_nothing_to_do_starts_nothing():
    assert RayBackend(Resources(placement="cluster")).run(Fails(ValueError), [], print) == {}


@dataclass(frozen=True)
class Fails(Job[None]):
    kind: type[Exception]
    device: str = "cpu"

    def open(self):
        raise self.kind("fault")


@pytest.mark.parametrize(
    ("kind", "told"), [(ValueError, True), (KeyError, True), (OSError, True), (RuntimeError, False)]
)
def test_a_part_s_own_fault_is_told_as_it_is(kind, told):
    worker = _Worker.__new__(_Worker)
    worker._job, worker._do = Fails(kind), None
    if told:
        nothing, error = worker._attempt(0)
        assert (nothing, type(error)) == (None, kind)
    else:  # Ray starts the actor again
        with pytest.raises(kind):
            worker._attempt(0)
