from dataclasses import replace

import pytest

from gseg.distributed.runtime import ray_session
from gseg.recipes import Grid, all_gans, grids


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


@pytest.fixture(scope="module")
def local_ray():
    with ray_session(num_cpus=2, dashboard=True):
        yield
