"""Where pairs come from: mixtures, streams, shrunk ones."""

import itertools
import threading

import numpy as np
import pytest
import torch

from gseg.randomness import training_order
from gseg.samples.shards import DamagedShardError, Shard, shard_name
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import fit, fit_source
from gseg.segmenters.pairs import (
    AHEAD,
    InMemoryPairs,
    MixedPairs,
    ShrunkPairs,
    StreamedPairs,
    open_pairs,
    pair_bytes,
    shrink,
)


def numbered(count: int, offset: int, side: int = 8) -> InMemoryPairs:
    """Pairs whose pictures say in every pixel which they are."""
    values = torch.arange(offset, offset + count, dtype=torch.uint8)
    pictures = values.view(-1, 1, 1, 1).expand(count, 3, side, side).contiguous()
    masks = (values % 2 == 1).view(-1, 1, 1).expand(count, side, side).contiguous()
    return InMemoryPairs(pictures, masks)


def test_an_epoch_has_the_stated_shares_and_every_pair():
    mixture = MixedPairs([(numbered(4, 0), 0.5), (numbered(30, 100), 0.3), (numbered(3, 200), 0.2)])
    owners, inner = mixture.locate(np.arange(len(mixture)))
    slots = np.bincount(owners)
    assert slots.tolist() == [50, 30, 20]
    for owner, length in enumerate((4, 30, 3)):
        times = np.bincount(inner[owners == owner], minlength=length)
        assert len(times) == length
        assert times.max() - times.min() <= 1
        assert times.min() >= 1


def test_every_stretch_of_slots_has_the_shares():
    mixture = MixedPairs([(numbered(7, 0), 0.1), (numbered(90, 50), 0.6), (numbered(9, 150), 0.3)])
    owners, _ = mixture.locate(np.arange(len(mixture)))
    for start in range(0, len(mixture) - 20, 7):
        found = np.bincount(owners[start : start + 20], minlength=3)
        assert np.abs(found - [2, 12, 6]).max() <= 1


def test_lengths_as_weights_are_one_set_put_together():
    mixture = MixedPairs([(numbered(4, 0), 4), (numbered(9, 100), 9)])
    pictures, masks = mixture.batch(np.arange(13))
    seen = pictures[:, 0, 0, 0].tolist()
    assert sorted(seen) == [*range(4), *range(100, 109)]
    assert [value for value in seen if value < 100] == list(range(4))  # each in its own order
    assert [value for value in seen if value >= 100] == list(range(100, 109))
    assert masks.dtype == torch.bool


def test_a_batch_is_in_the_order_of_its_indices():
    mixture = MixedPairs([(numbered(3, 0), 1), (numbered(5, 100), 3), (numbered(2, 200), 1)])
    indices = np.array([len(mixture) - 1, 0, 7, 0, 3, 5])
    pictures, masks = mixture.batch(indices)
    owners, inner = mixture.locate(indices)
    expected = [(0, 100, 200)[o] + i for o, i in zip(owners, inner, strict=True)]
    assert pictures[:, 0, 0, 0].tolist() == expected
    assert masks[:, 0, 0].tolist() == [value % 2 == 1 for value in expected]


def test_only_sources_whose_turn_it_is_are_asked():
    class Silent(InMemoryPairs):
        def batch(self, indices):
            raise AssertionError

    quiet = Silent(*numbered(5, 100).batch(np.arange(5)))
    mixture = MixedPairs([(numbered(3, 0), 1), (quiet, 1)])
    owners, _ = mixture.locate(np.arange(len(mixture)))
    pictures, _ = mixture.batch(np.flatnonzero(owners == 0))
    assert pictures[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1]


def test_over_many_steps_each_source_has_its_share():
    mixture = MixedPairs([(numbered(5, 0), 0.75), (numbered(40, 100), 0.25)])
    assert len(mixture) == 160
    seen = np.concatenate([training_order(3, step, 16, len(mixture)) for step in range(20)])
    owners, inner = mixture.locate(seen)  # two epochs
    assert np.bincount(owners).tolist() == [240, 80]
    assert np.bincount(inner[owners == 1]).tolist() == [2] * 40


def test_training_on_one_source_of_a_mixture_is_training_on_it():
    config = FitConfig(steps=3, batch=4, width=2, depth=1, decay_at=None)
    source = numbered(10, 0)
    direct = fit(*source.batch(np.arange(10)), config)
    mixed = fit_source(MixedPairs([(source, 0.2)]), config)
    assert torch.equal(direct.losses, mixed.losses)
    assert direct.foreground_share == mixed.foreground_share


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "at least one source"),
        ([(numbered(2, 0), 0.0)], r"positive numbers, got \[0.0\]"),
        ([(numbered(2, 0), 1), (numbered(2, 0), float("inf"))], "positive numbers"),
        ([(numbered(2, 0), 1), (numbered(2, 0, 16), 1)], "one size, got 8 x 8, 16 x 16"),
        ([(numbered(2, 0), 1), (numbered(200, 0), 1e-7)], "choose less unequal weights"),
    ],
)
def test_impossible_mixtures_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        MixedPairs(parts)


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


def _pairs(count=5, side=8):
    noise = np.random.default_rng(0)
    pictures = torch.from_numpy(noise.integers(0, 256, (count, 3, side, side), dtype=np.uint8))
    return pictures, torch.from_numpy(noise.random((count, side, side)) < 0.4)


def test_pixels_are_means_of_squares_and_masks_their_majority():
    pictures, masks = _pairs()
    small, shapes = shrink(pictures, masks, 4)
    assert (small.dtype, shapes.dtype) == (torch.uint8, torch.bool)
    for n, row, column in itertools.product(range(5), range(4), range(4)):
        area = (slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
        for channel in range(3):
            mean = pictures[n, channel][area].float().mean()
            assert small[n, channel, row, column] == mean.round()
        assert shapes[n, row, column] == (masks[n][area].sum() >= 2)


def test_batches_are_parts_of_the_whole():
    pictures, masks = _pairs()
    source = ShrunkPairs(InMemoryPairs(pictures, masks), 2)
    assert (len(source), source.resolution) == (5, (2, 2))
    indices = np.array([4, 0, 4])
    found, wanted = source.batch(indices), shrink(pictures, masks, 2)
    assert torch.equal(found[0], wanted[0][indices])
    assert torch.equal(found[1], wanted[1][indices])


def test_nothing_is_enlarged():
    with pytest.raises(ValueError, match="can be shrunk, not enlarged, to 16 px"):
        shrink(*_pairs(), 16)
