"""`examples/online.py`: training on what is being drawn is training on the same samples stored."""

import itertools
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.samples.config import SampleConfig
from gseg.samples.draw import draw, draw_shard
from gseg.samples.sets import AcceptanceError
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import fit_source
from gseg.segmenters.pairs import InMemoryPairs

EXAMPLE = Path(__file__).parents[1] / "examples" / "online.py"
SMALL = ("--generator", "analytic.ellipses32", "--steps", "3")
SAMPLES = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=1)
TRAINING = FitConfig(steps=6, batch=5, width=4, depth=2, decay_at=None, shuffle_window=1)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def example():
    return runpy.run_path(str(EXAMPLE))


@pytest.fixture(scope="module")
def direction():
    vector = known_direction(analytic_generator(32))
    return Direction(lighter=vector, darker=-vector)


def test_the_result_is_that_of_the_stored_samples(example, direction):
    shards = example["drawn_here"]("analytic.ellipses32", direction, SAMPLES)
    online = fit_source(example["DrawnPairs"](shards, 30, 32), TRAINING)
    stored = draw(analytic_generator(32), direction, SAMPLES, 30)
    expected = fit_source(InMemoryPairs(stored.pictures, stored.masks), TRAINING)
    assert online.losses.equal(expected.losses)
    assert online.segmenter.digest == expected.segmenter.digest


def test_another_order_is_refused(example, direction):
    shards = example["drawn_here"]("analytic.ellipses32", direction, SAMPLES)
    source = example["DrawnPairs"](shards, 30, 32)
    with pytest.raises(ValueError, match="shuffle_window=1"):
        fit_source(source, replace(TRAINING, shuffle_window=100))


def test_filters_that_reject_everything_end_the_training(example, direction):
    shard = draw_shard(analytic_generator(32), direction, SAMPLES, 0)
    nothing = torch.empty(0, dtype=torch.int64)
    poor = replace(
        shard,
        indices=nothing,
        pictures=shard.pictures[:0],
        masks=shard.masks[:0],
        counts={"candidates": 5_000, "accepted": 0, "histogram": 5_000},
    )
    source = example["DrawnPairs"](itertools.repeat(poor), 30, 32)
    with pytest.raises(AcceptanceError, match="Only 0 of 10,000"):
        fit_source(source, TRAINING)


@pytest.mark.ray
def test_actors_draw_what_one_process_draws(tmp_path):
    files = [tmp_path / name for name in ("here.safetensors", "actors.safetensors")]
    for file, more in zip(files, ([], ["--actors", "2"]), strict=True):
        done = subprocess.run(
            [sys.executable, str(EXAMPLE), *SMALL, "--out", str(file), *more],
            cwd=EXAMPLE.parents[1],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "IoU" in done.stdout
        assert str(file) in done.stdout
        assert "Failed" not in done.stderr
    assert files[0].read_bytes() == files[1].read_bytes()
