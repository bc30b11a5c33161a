"""The same samples from any number of actors."""

import pytest
import torch

from gseg.directions.direction import Direction
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.pipeline.graph import Workshop
from gseg.pipeline.stages.directions import GivenDirection
from gseg.pipeline.trial import samples_node
from gseg.samples.config import SampleConfig
from gseg.samples.draw import draw
from gseg.samples.sets import load_samples
from gseg.storage.store import Store

pytestmark = pytest.mark.ray

NAME = "analytic.ellipses32"
CONFIG = SampleConfig(epsilon=2.0, batch=16, blocks_per_shard=4, seed=7)


def direction(folder):
    vector = known_direction(analytic_generator(32))
    Direction(lighter=vector, darker=-vector, provenance={}).save(folder / "direction")
    return GivenDirection(given=folder / "direction")


def draw_samples(folder, count, actors, minimum=0):
    wanted = samples_node(NAME, direction(folder), CONFIG, count, "cpu")
    placement = "cluster" if actors else "process"
    backend = RayBackend(Resources(placement=placement, actors=actors, min_actors=minimum))
    found = Workshop(Store(folder / "storage"), backend).make(wanted)
    return found, load_samples(found.pairs.shards, count)


def same(first, second):
    for name in ("indices", "pictures", "masks"):
        assert torch.equal(getattr(first, name), getattr(second, name)), name


def test_any_number_of_actors_gives_the_same_samples(tmp_path, local_ray, monkeypatch):
    shifts = Direction.load(direction(tmp_path).given)
    expected = draw(analytic_generator(32), shifts, CONFIG, 500)
    # Three at once on two CPUs. Two draw in the kills of `tests/kills`.
    monkeypatch.setattr("gseg.distributed.backend._JOB_CPUS", 0.6)
    for actors in (1, 3):
        folder = tmp_path / str(actors)
        folder.mkdir()
        few, samples = draw_samples(folder, 300, actors, minimum=1)
        same(samples, load_samples(few.pairs.shards, 300))
        more, extended = draw_samples(folder, 500, actors)
        same(extended, expected)
        assert more.pairs.shards[: len(few.pairs.shards)] == few.pairs.shards
        # Beyond the last shard at most what the other actors had begun.
        drawn = len(list(more.pairs.shards[0].parent.glob("*.parquet")))
        assert drawn <= len(more.pairs.shards) + actors - 1
