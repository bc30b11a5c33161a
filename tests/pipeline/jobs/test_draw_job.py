"""A process that draws shard after shard: what it leaves, and how much memory it takes."""

import gc
import pickle

import psutil
import pytest

from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.pipeline.jobs.draw import BatchTooLargeError, DrawJob, DrawOrder, read_cost
from gseg.samples.config import FilterConfig, SampleConfig
from gseg.samples.sets import AcceptanceError, GrowingSet, check_acceptance
from gseg.samples.shards import shard_name

CONFIG = SampleConfig(epsilon=2.0, batch=64, blocks_per_shard=2)


@pytest.fixture
def order(tmp_path):
    vector = known_direction(analytic_generator(32))
    Direction(lighter=vector, darker=-vector, provenance={}).save(tmp_path / "direction")

    def make(count, config=CONFIG, name="set"):
        folder = tmp_path / name
        return DrawOrder(
            direction=tmp_path / "direction", config=config, folder=folder, count=count
        )

    return make


def ignore(drawn):
    pass


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def test_memory_stays_flat_over_thousands_of_candidates(order):
    job = DrawJob(generator="analytic.ellipses32", orders=(order(100_000),))
    job.alone(range(8), ignore)
    before = resident()
    job.alone(range(8, 40), ignore)  # 4,096 candidates, 12 MiB of pictures
    assert resident() - before < 6
    assert len(job.orders[0].growing().shards) == 40


def test_a_shard_that_is_there_is_not_drawn_again(order):
    job = DrawJob(generator="analytic.ellipses32", orders=(order(200), order(1, name="other")))
    heard = []
    job.alone(range(10), heard.append)
    sets = [each.growing() for each in job.orders]
    assert len(sets[0].shards) == len(heard) == 2
    assert len(sets[1].shards) == 1
    times = [path.stat().st_mtime_ns for path in sets[0].shards]
    job.alone(range(10), heard.append)
    assert [path.stat().st_mtime_ns for path in sets[0].shards] == times
    assert len(heard) == 2
    shared, alone = (read_cost(path)["forwards"] for path in sets[0].shards)
    assert shared == read_cost(sets[1].shards[0])["forwards"]
    assert 64 < shared < alone <= 256


def test_a_growing_set_plans_by_its_acceptance(order):
    one = order(1_000)
    fresh = GrowingSet(one.folder, CONFIG.shard_size)
    # Nothing is known: eight shards are needed whatever is accepted, and a quarter may be.
    assert [shard for shard in range(20) if fresh.update().needs(shard, 1_000)] == list(range(8))
    assert fresh.missing(1_000, guess=0.25) == range(32)
    assert fresh.acceptance is None
    DrawJob(generator="analytic.ellipses32", orders=(one,)).alone([0, 2], ignore)
    seen = fresh.update()
    accepted = seen.counts["accepted"]
    assert len(seen.shards) == 1  # the third waits for the second
    assert seen.acceptance == accepted / 128
    needed = [shard for shard in range(30) if seen.needs(shard, 1_000)]
    last = -(-(1_000 - accepted) * 128 // (accepted * 128))
    assert needed == [shard for shard in range(1, last + 1) if shard != 2]
    assert seen.missing(1_000, guess=0.25) == range(1, last + 1)
    assert seen.missing(accepted, guess=0.25) == range(1, 1)
    assert not seen.needs(1, accepted)


def test_a_hopeless_set_needs_no_more(order, monkeypatch):
    monkeypatch.setattr("gseg.samples.sets._PATIENCE", 256)
    hopeless = order(10, SampleConfig(batch=64, filters=FilterConfig(max_share=0.0)))
    job = DrawJob(generator="analytic.ellipses32", orders=(hopeless,))
    job.alone(range(9), ignore)
    with pytest.raises(AcceptanceError):
        job.missing()
    assert DrawJob(generator=job.generator, orders=(order(0), hopeless)).missing() == []
    seen = hopeless.growing()
    assert seen.is_hopeless
    assert seen.shards == [hopeless.folder / shard_name(0)]
    with pytest.raises(AcceptanceError):
        check_acceptance(seen.counts)


def test_what_is_wrong_comes_whole_from_another_process():
    told = pickle.loads(pickle.dumps(BatchTooLargeError(64)))
    assert isinstance(told, BatchTooLargeError)
    assert str(told) == str(BatchTooLargeError(64))
