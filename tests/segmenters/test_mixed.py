"""Mixtures of sources: shares, and which pair a position is."""

import numpy as np
import pytest
import torch

from gseg.randomness import training_order
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import fit, fit_source
from gseg.segmenters.mixed import MixedPairs
from gseg.segmenters.source import InMemoryPairs


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
