"""gseg/reports/strips.py: which pictures are shown, and in which order."""

import numpy as np
import pytest
from PIL import Image

from gseg.reports.strips import Found, compare_masks, draw_strip, find_truths, spread_text


def save(path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.array(pixels, np.uint8)).save(path)
    return path


@pytest.fixture
def masks(tmp_path):
    """Four pictures of 2x2 pixels; found: all four pixels; true: one to four of them."""
    masks = {}
    for name, count in (("a", 2), ("b", 4), ("c", 1), ("d", 3)):
        picture = save(tmp_path / "images" / f"{name}.png", np.full((2, 2, 3), 40 * count))
        truth = (np.arange(4) < count).reshape(2, 2) * 255
        save(tmp_path / "masks" / f"{name}.png", truth)
        masks[picture] = save(tmp_path / "found" / f"{name}.png", np.full((2, 2), 255))
    return masks


def test_pictures_are_ordered_by_the_iou_of_their_masks(masks, tmp_path):
    found = compare_masks(masks, find_truths(tmp_path / "masks"))
    assert [each.picture.stem for each in found] == ["b", "d", "a", "c"]
    assert [each.iou for each in found] == [1.0, 0.75, 0.5, 0.25]
    assert all(each.truth == tmp_path / "masks" / each.picture.name for each in found)
    assert spread_text(found).endswith("best 1.00, median 0.62, worst 0.25")


def test_pictures_without_a_true_mask_are_left_out(masks, tmp_path):
    (tmp_path / "masks" / "b.png").unlink()
    truths = find_truths(tmp_path / "masks")
    assert [each.picture.stem for each in compare_masks(masks, truths)] == ["d", "a", "c"]
    with pytest.raises(ValueError, match="None of the pictures has a true mask"):
        compare_masks(masks, {"other": tmp_path / "masks" / "a.png"})


def test_two_empty_masks_agree(masks, tmp_path):
    picture = next(iter(masks))
    for path in (masks[picture], tmp_path / "masks" / picture.name):
        save(path, np.zeros((2, 2)))
    [found, *_] = compare_masks({picture: masks[picture]}, find_truths(tmp_path / "masks"))
    assert found.iou == 1.0


def test_what_cannot_be_compared_is_explained(masks, tmp_path):
    save(tmp_path / "masks" / "a.png", np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"a\.png is 3x2, its picture 2x2"):
        compare_masks(masks, find_truths(tmp_path / "masks"))
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ValueError, match="is no folder of masks"):
            find_truths(folder)


@pytest.mark.parametrize(("columns", "shown"), [(2, "ad"), (3, "acd"), (1, "a"), (9, "abcd")])
def test_what_is_drawn_goes_from_the_first_to_the_last(masks, tmp_path, columns, shown):
    found = [Found(picture=picture, mask=mask) for picture, mask in masks.items()]
    draw_strip(tmp_path / "strip.png", found, columns=columns, tile=8)
    strip = np.array(Image.open(tmp_path / "strip.png"))
    assert strip.shape == (2 * 12 + 4, 59 + len(shown) * 12 + 4, 3)
    tiles = strip[8, 59 + 8 :: 12]
    counts = {"a": 2, "b": 4, "c": 1, "d": 3}
    assert tiles[: len(shown), 0].tolist() == [40 * counts[name] for name in shown]
