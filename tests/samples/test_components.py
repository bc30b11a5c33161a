import importlib.util
from pathlib import Path

import numpy as np
import pytest
from skimage.measure import perimeter

from gseg.samples.components import keep_large_components, mask_agreement, roundness

SPEC = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("oracle.py"))
oracle = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(oracle)


def rows(*lines):
    return np.array([[character == "#" for character in line] for line in lines])[None]


def test_by_hand():
    mask = rows(
        "#####....#",
        "#####.....",
        ".....##...",
        "..........",
        "#.........",
    )
    # 10 pixels, and a corner away 2, and two single ones. 2 / 10 is exactly the share.
    paper = keep_large_components(mask, 0.2, strict=False, connectivity=4)
    assert paper.components.tolist() == [2]
    assert paper.shares.tolist() == [12 / 50]
    program = keep_large_components(mask, 0.2, strict=True, connectivity=4)
    assert program.masks.sum() == 10
    corners = keep_large_components(mask, 0.2, strict=True, connectivity=8)
    assert (corners.components.tolist(), int(corners.masks.sum())) == ([1], 12)


def test_share_is_a_quotient_not_a_product():
    # 7 of 35: 0.2 * 35 is 7.000000000000001, but 7 / 35 is 0.2.
    mask = np.zeros((1, 10, 10), dtype=bool)
    mask[0, :5, :7] = True
    mask[0, 7, :7] = True
    assert keep_large_components(mask, 0.2).components.tolist() == [2]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("connectivity", [4, 8])
def test_noisy_masks_equal_the_oracle(strict, connectivity):
    rng = np.random.default_rng(3)
    masks = np.stack([rng.random((40, 33)) < share for share in np.linspace(0, 1, 12)])
    for share in (0.0, 0.05, 0.2, 0.5):
        found = keep_large_components(masks, share, strict=strict, connectivity=connectivity)
        for index, mask in enumerate(masks):
            cleaned, left = oracle.clean(mask, share, strict, connectivity)
            np.testing.assert_array_equal(found.masks[index], cleaned)
            assert found.components[index] == left
            assert found.shares[index] == cleaned.mean()


def test_empty_full_and_no_masks():
    masks = np.stack([np.zeros((6, 5), dtype=bool), np.ones((6, 5), dtype=bool)])
    found = keep_large_components(masks, 0.2)
    assert found.components.tolist() == [0, 1]
    assert found.shares.tolist() == [0, 1]
    assert len(keep_large_components(masks[:0], 0.2).masks) == 0


def test_masks_are_left_alone_and_need_not_be_contiguous():
    masks = rows("##.#", "##..", "....").transpose(0, 2, 1)
    before = masks.copy()
    assert keep_large_components(masks, 0.5).shares.tolist() == [4 / 12]
    np.testing.assert_array_equal(masks, before)


def test_roundness_uses_the_largest_component():
    y, x = np.mgrid[:64, :64]
    disc = (y - 32) ** 2 + (x - 32) ** 2 < 20**2
    noise = np.random.default_rng(0).random((64, 64)) < 0.45
    scores = roundness(np.stack([disc, noise, np.zeros_like(disc), np.ones_like(disc)]))
    assert scores[0] == pytest.approx(disc.sum() / perimeter(disc) ** 2)
    assert 0.07 < scores[0] < 0.09
    assert scores[1] < 0.02
    assert scores[2:].tolist() == [0, 0]


def test_agreement():
    first = rows("##..")
    assert mask_agreement(first, rows("#..#")).tolist() == [0.5]
    assert mask_agreement(first, first).tolist() == [1.0]
