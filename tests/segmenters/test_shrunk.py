import itertools

import numpy as np
import pytest
import torch

from gseg.segmenters.shrunk import ShrunkPairs, shrink
from gseg.segmenters.source import InMemoryPairs


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
