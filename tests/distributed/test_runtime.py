"""How much a cluster gives that has no workers yet."""

import copy
from pathlib import Path

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config

from gseg.distributed import runtime
from gseg.distributed.runtime import (
    Resources,
    cluster_capacity,
    most_resources,
    trials_at_once,
    with_later_actors,
)

_ROOT = Path(__file__).parents[2]


def _completed(name):
    return prepare_config(yaml.safe_load((_ROOT / name).read_text()))


def test_eight_spot_workers_may_come():
    config = _completed("ray_cluster.yaml")
    assert most_resources(config) == {"CPU": 32.0, "GPU": 8.0}
    more = copy.deepcopy(config)
    more["available_node_types"]["large"] = {
        "resources": {"CPU": 48, "GPU": 4},
        "min_workers": 0,
        "max_workers": 3,
    }
    assert most_resources(more) == {"CPU": 3 * 48 + 5 * 4, "GPU": 3 * 4 + 5 * 1}


def test_machines_that_are_there_say_themselves_what_they_have():
    assert most_resources(_completed("ray_cluster_local.yaml")) == {"CPU": 0.0, "GPU": 0.0}
    assert most_resources({}) == {"CPU": 0.0, "GPU": 0.0}


@pytest.fixture
def empty_cluster(monkeypatch, tmp_path):
    """A head without CPUs, before any worker has come; gives the place of its cluster file."""
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"memory": 1.0})
    monkeypatch.setattr(runtime, "_is_on_head", lambda: True)
    monkeypatch.setattr(runtime, "_LEFT_BY_RAY_UP", tmp_path / "cluster.yaml")
    return tmp_path / "cluster.yaml"


def test_trials_wait_for_workers_that_come_from_zero(empty_cluster):
    one_gpu = Resources(gpus_per_trial=1)
    assert trials_at_once(one_gpu, large=False) == 1
    empty_cluster.write_text(yaml.safe_dump(_completed("ray_cluster.yaml")))
    assert trials_at_once(one_gpu, large=False) == 8
    assert trials_at_once(one_gpu, large=True) == 8
    assert trials_at_once(Resources(gpus_per_trial=0.5), large=False) == 16
    assert trials_at_once(Resources(gpus_per_trial=1, workers=4), large=True) == 2
    assert trials_at_once(Resources(), large=False) == 32
    assert trials_at_once(Resources(concurrency=3), large=False) == 3


def test_as_many_actors_draw_as_may_come(empty_cluster, monkeypatch):
    half = Resources(gpus_per_trial=0.5)
    assert with_later_actors(half) == half
    empty_cluster.write_text(yaml.safe_dump(_completed("ray_cluster.yaml")))
    assert with_later_actors(half).actors == 16
    assert with_later_actors(Resources(gpus_per_trial=0.5, actors=2)).actors == 2
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"GPU": 8.0})
    assert with_later_actors(half) == half


def test_a_broken_cluster_file_is_as_none(empty_cluster, caplog):
    empty_cluster.write_text("{broken")
    assert cluster_capacity() == {"CPU": 0.0, "GPU": 0.0}
    assert "cannot be read" in caplog.text


def test_the_file_of_another_cluster_does_not_count_off_the_head(empty_cluster, monkeypatch):
    empty_cluster.write_text(yaml.safe_dump(_completed("ray_cluster.yaml")))
    monkeypatch.setattr(runtime, "_is_on_head", lambda: False)
    assert cluster_capacity() == {"CPU": 0.0, "GPU": 0.0}
