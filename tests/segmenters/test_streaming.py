"""Pairs that come shard by shard are those that all shards in memory would give."""

import threading

import numpy as np
import pytest
import torch

from gseg.randomness import training_order
from gseg.samples.headers import DamagedShardError
from gseg.samples.shards import Shard, shard_name
from gseg.segmenters.source import InMemoryPairs
from gseg.segmenters.stored import open_pairs, pair_bytes
from gseg.segmenters.streaming import AHEAD, StreamedPairs

SIDE = 5


def make(number: int, rows: int, provenance: str = "x") -> Shard:
    rng = np.random.default_rng((number, rows))
    return Shard(
        number=number,
        indices=torch.arange(rows) + 100 * number,
        labels=None,
        pictures=torch.from_numpy(rng.integers(0, 256, (rows, 3, SIDE, SIDE), dtype=np.uint8)),
        masks=torch.from_numpy(rng.random((rows, SIDE, SIDE)) < 0.5),
        statistics={},
        counts={"candidates": 100, "accepted": rows, "histogram": 100 - rows},
        provenance={"generator": provenance},
    )


class Loader:
    """Gives shards and counts how often each was asked for."""

    def __init__(self, rows: list[int]) -> None:
        self.shards = [make(number, count) for number, count in enumerate(rows)]
        self.asked: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, number: int) -> Shard:
        with self._lock:
            self.asked.append(number)
        return self.shards[number]

    def everything(self, count: int) -> InMemoryPairs:
        return InMemoryPairs(
            torch.cat([shard.pictures for shard in self.shards])[:count],
            torch.cat([shard.masks for shard in self.shards])[:count],
        )


ROWS = [7, 0, 12, 9, 1, 11, 8, 0, 10, 9, 12, 6, 9, 10, 11, 7, 9, 10]
COUNT = sum(ROWS) - 3


def same(source: StreamedPairs, whole: InMemoryPairs, orders: list[np.ndarray]) -> None:
    for order in orders:
        pictures, masks = source.batch(order)
        expected = whole.batch(order)
        assert torch.equal(pictures, expected[0])
        assert torch.equal(masks, expected[1])


@pytest.mark.parametrize("window", [1, 20, 40, COUNT])
def test_batches_are_those_of_all_pairs_in_memory(window: int) -> None:
    loader = Loader(ROWS)
    source = StreamedPairs(loader, COUNT, resolution=SIDE, window=window, rows=ROWS)
    assert len(source) == COUNT
    assert source.resolution == (SIDE, SIDE)
    orders = [training_order(3, step, 8, COUNT, window) for step in range(3 * COUNT // 8)]
    same(source, loader.everything(COUNT), orders)


@pytest.mark.parametrize(("rank", "replicas"), [(0, 1), (1, 2)])
def test_every_shard_is_read_once_an_epoch(rank: int, replicas: int) -> None:
    loader, window = Loader(ROWS), 30
    source = StreamedPairs(loader, COUNT, resolution=SIDE, window=window, rows=ROWS)
    for step in range(2 * COUNT // 8):
        source.batch(training_order(3, step, 8, COUNT, window)[rank::replicas])
    loaded = np.bincount(loader.asked, minlength=len(ROWS))
    assert loaded.max() <= 2 + 1  # two epochs, and what is read ahead of the third


def test_only_the_window_is_held() -> None:
    loader, window = Loader([10] * 60), 50
    source = StreamedPairs(loader, 600, resolution=SIDE, window=window, rows=[10] * 60)
    held = []
    for step in range(2 * 600 // 8):
        source.batch(training_order(3, step, 8, 600, window))
        held.append(len(source._held))
    assert max(held) <= window // 10 + 2 + AHEAD


def test_shards_ahead_are_read_before_they_are_needed() -> None:
    loader = Loader([10] * 20)
    source = StreamedPairs(loader, 200, resolution=SIDE, window=1, rows=[10] * 20)
    source.batch(np.arange(5))
    source._pool.shutdown(wait=True)
    assert sorted(loader.asked) == list(range(AHEAD + 1))


def test_any_order_is_answered() -> None:
    loader = Loader(ROWS)
    source = StreamedPairs(loader, COUNT, resolution=SIDE, window=1, rows=ROWS)
    rng = np.random.default_rng(0)
    same(source, loader.everything(COUNT), [rng.integers(0, COUNT, 5) for _ in range(60)])


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / shard_name(number) for number in range(len(ROWS))]
    for path, shard in zip(paths, Loader(ROWS).shards, strict=True):
        shard.save(path)
    return paths


def test_stored_pairs_are_held_if_they_fit_and_streamed_otherwise(files) -> None:
    whole = Loader(ROWS).everything(COUNT)
    room = pair_bytes(SIDE) * COUNT
    held = open_pairs(files, COUNT, window=20, memory=room)
    streamed = open_pairs(files, COUNT, window=20, memory=room - 1)
    assert isinstance(held, InMemoryPairs)
    assert isinstance(streamed, StreamedPairs)
    orders = [training_order(3, step, 8, COUNT, 20) for step in range(COUNT // 8)]
    same(held, whole, orders)
    same(streamed, whole, orders)
    assert isinstance(open_pairs(files, COUNT, window=20), InMemoryPairs)


def test_a_window_that_does_not_fit_is_refused_before_the_training(files) -> None:
    with pytest.raises(ValueError, match="Choose a smaller shuffle_window"):
        open_pairs(files, COUNT, window=100, memory=pair_bytes(SIDE) * 90)


def test_too_few_samples_are_found_before_the_training(files) -> None:
    for memory in (10**9, 60 * pair_bytes(SIDE)):
        with pytest.raises(ValueError, match="asked for 1000: draw more"):
            open_pairs(files, 1000, window=2, memory=memory)


def test_shards_that_do_not_belong_together_are_refused(files) -> None:
    make(3, ROWS[3], provenance="y").save(files[3])
    for memory in (10**9, 60 * pair_bytes(SIDE)):
        with pytest.raises(ValueError, match="Shard 3 was drawn with other settings"):
            open_pairs(files, COUNT, window=2, memory=memory)


def test_a_damaged_shard_is_named_while_training(files) -> None:
    content = bytearray(files[5].read_bytes())
    content[len(content) // 4] ^= 1
    files[5].write_bytes(content)
    source = open_pairs(files, COUNT, window=2, memory=60 * pair_bytes(SIDE))
    with pytest.raises(DamagedShardError, match="shard-000005"):
        for start in range(0, COUNT - 4, 4):
            source.batch(np.arange(start, start + 4))
