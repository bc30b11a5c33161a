"""Labelled pictures as training pairs."""

import numpy as np
import pytest
import torch

from gseg.scores.contract import Example
from gseg.scores.labelled import chosen_pictures, square_pairs


class Strips:
    """Wide pictures: grey ramps whose middle square is foreground."""

    name = "strips"

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Example:
        ramp = torch.arange(48, dtype=torch.uint8).expand(3, 16, 48) * 5
        mask = torch.zeros(16, 48, dtype=torch.bool)
        mask[:, 16:32] = True
        mask[0, 16] = False
        return Example(id=str(index), picture=ramp, mask=mask)


def test_the_middle_square_is_kept():
    pictures, masks = square_pairs(Strips(), np.array([3, 4]), 16)
    assert pictures.shape == (2, 3, 16, 16)
    assert pictures.dtype == torch.uint8
    assert pictures[0, 0, 0].tolist() == [5 * column for column in range(16, 32)]
    assert masks.dtype == torch.bool
    assert not masks[0, 0, 0]
    assert masks[0].sum() == 255


def test_tall_and_small_pictures_are_resized():
    class Tall(Strips):
        def __getitem__(self, index: int) -> Example:
            wide = super().__getitem__(index)
            return Example(
                id=wide.id, picture=wide.picture.transpose(1, 2), mask=wide.mask.transpose(0, 1)
            )

    pictures, masks = square_pairs(Tall(), np.array([0]), 8)
    assert pictures.shape == (1, 3, 8, 8)
    assert masks.float().mean() > 0.95
    assert (pictures[0, 0].float().diff(dim=0) > 0).all()


def test_chosen_pictures_are_different_and_the_rest_is_held_out():
    first, rest = (chosen_pictures(Strips(), 1, *part) for part in ((0, 7), (7, 5)))
    assert sorted([*first, *rest]) == list(range(12))
    assert first.tolist() != chosen_pictures(Strips(), 2, 0, 7).tolist()
    with pytest.raises(ValueError, match="strips has 12 pictures, asked for 6 after the first 7"):
        chosen_pictures(Strips(), 1, 7, 6)
