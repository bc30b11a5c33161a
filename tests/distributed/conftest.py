"""The Ray that tests share.

Starting Ray takes ten seconds, and a process is connected to one Ray at a time. So there are two
kinds, each started by the first test that asks for it and left running for those that follow:
`local_ray`, and `cluster`, of which tests may take nodes away. Asking for one stops the other:
tests run in the order of what they ask for, so that each is started once. Tests without either run
first, beside no Ray at all; sweeps in processes of their own start and stop their own.
With `-n 2` one process runs all tests of this folder. Long ones that need none of the two kinds
are in `alone/`, to be run beside them like the tests of other folders.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace

import pytest
import ray
from ray.cluster_utils import Cluster

from gseg.distributed.session import ray_session
from gseg.recipes.grids import Grid, grids
from gseg.recipes.melas2022 import all_gans

_KINDS = ("local_ray", "cluster")
_NODES = 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests of one kind of Ray after one another; otherwise the order stays as it is."""

    def last_kind(item: pytest.Item) -> int:
        asked = [n for n, kind in enumerate(_KINDS) if kind in getattr(item, "fixturenames", ())]
        return max(asked, default=-1)

    items.sort(key=last_kind)


class RayKeeper:
    """At most one Ray of this process; what it gives is that of the kind asked for last."""

    def __init__(self) -> None:
        self._session, self._kind, self._given = ExitStack(), "", None

    def use(self, kind: str) -> Cluster | None:
        """Have a Ray of a kind, the one that runs if it is of this kind."""
        if kind != self._kind:
            self.stop()
            start = {"local_ray": _local, "cluster": _cluster}[kind]
            self._given, self._kind = self._session.enter_context(start()), kind
        return self._given

    def stop(self) -> None:
        """Stop what runs."""
        self._kind = ""
        self._session.close()


def _local() -> AbstractContextManager[None]:
    return ray_session(num_cpus=2, dashboard=True)


@contextmanager
def _cluster() -> Iterator[Cluster]:
    """A head that only drives."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        with ray_session(cluster.address):
            yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="session", autouse=True)
def _short_looks():
    """Ray Train looks every two seconds whether a training has ended or died: too long here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        yield


@pytest.fixture(scope="session")
def rays() -> Iterator[RayKeeper]:
    keeper = RayKeeper()
    yield keeper
    keeper.stop()


@pytest.fixture
def no_ray(rays):
    """This process is connected to no Ray: for tests that start one as nobody else needs it."""
    rays.stop()


@pytest.fixture
def local_ray(rays):
    """This process is connected to a Ray of two CPUs."""
    rays.use("local_ray")


@pytest.fixture
def cluster(rays) -> Cluster:
    """This process drives a cluster from its head; two nodes work, with a CPU each."""
    cluster = rays.use("cluster")
    while len(cluster.worker_nodes) < _NODES:
        cluster.add_node(num_cpus=1)
    return cluster


@pytest.fixture(scope="session")
def tiny_grid() -> Grid:
    """A grid whose trials take a second or two on the closed-form generator."""
    smoke = grids()["smoke"]
    return replace(
        smoke,
        search=replace(smoke.search, steps=3, batch=4),
        samples=replace(smoke.samples, batch=16, blocks_per_shard=2),
        training=replace(smoke.training, steps=6, decay_at=4, batch=8, width=4),
        data_sizes=(48,),
        validation_size=16,
        distance=None,
    )


@pytest.fixture(scope="session")
def tiny_experiment(tiny_grid):
    return all_gans(tiny_grid, {"generator": ("analytic.ellipses32",)})[0]
