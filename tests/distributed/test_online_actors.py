"""Actors draw what a training sees."""

import numpy as np
import pytest

from gseg.directions import Direction
from gseg.distributed.online import ActorShards
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.samples import SampleConfig, draw
from gseg.segmenters import FitConfig
from gseg.segmenters.online import drawn_pairs

pytestmark = pytest.mark.ray


def test_pairs_of_actors_are_those_of_one_process(tmp_path, local_ray):
    generator = analytic_generator(32)
    vector = known_direction(generator)
    direction = Direction(lighter=vector, darker=-vector)
    direction.save(tmp_path)
    config = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=1)
    training = FitConfig(steps=6, batch=5, shuffle_window=1)
    shards = ActorShards("analytic.ellipses32", tmp_path, config, actors=2)
    source = drawn_pairs(shards, 32, training)
    expected = draw(generator, direction, config, 30)
    for start in range(0, 30, 5):
        pictures, masks = source.batch(np.arange(start, start + 5))
        assert pictures.equal(expected.pictures[start : start + 5])
        assert masks.equal(expected.masks[start : start + 5])
