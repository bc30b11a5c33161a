"""How many cores a process has that shares a GPU, and so how many threads judge masks in it."""

import pytest
import ray

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources


@pytest.mark.parametrize(
    ("cpus", "gpus", "share", "cores"),
    [(16, 1, 1.0, 16), (16, 1, 0.25, 4), (4, 1, 0.25, 1), (2, 1, 0.1, 1), (64, 8, 1.0, 8)],
)
def test_cores_are_divided_among_those_who_share_gpus(monkeypatch, cpus, gpus, share, cores):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": cpus, "GPU": gpus})
    assert RayBackend(Resources(gpus_per_trial=share)).cores == cores


def test_without_gpus_nothing_is_asked(monkeypatch):
    monkeypatch.delattr(ray, "cluster_resources")
    assert RayBackend(Resources()).cores is None
