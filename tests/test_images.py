import math

import numpy as np
import pytest
import torch

from gseg.images import (
    above_otsu,
    centre_distance,
    contact_sheet,
    from_uint8,
    luminance,
    sobel_gradients,
    to_pixels,
    to_uint8,
)


def test_luminance_weighs_the_channels():
    image = torch.tensor([0.5, -0.25, 1.0]).reshape(1, 3, 1, 1)
    expected = 0.2989 * 0.5 + 0.5870 * -0.25 + 0.1140
    assert luminance(image).item() == pytest.approx(expected, abs=1e-7)


def test_sobel_equals_a_loop_over_pixels():
    planes = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 4, 5)))
    smooth, difference = (1, 2, 1), (-1, 0, 1)
    across, down = sobel_gradients(planes)
    for n, y, x in np.ndindex(2, 4, 5):
        sums = [0.0, 0.0]
        for i in range(3):
            for j in range(3):
                value = planes[n, min(max(y + i - 1, 0), 3), min(max(x + j - 1, 0), 4)].item()
                sums[0] += smooth[i] * difference[j] * value
                sums[1] += difference[i] * smooth[j] * value
        assert across[n, y, x].item() == pytest.approx(sums[0], abs=1e-12)
        assert down[n, y, x].item() == pytest.approx(sums[1], abs=1e-12)


def test_every_byte_survives_the_way_to_floats_and_back():
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    floats = from_uint8(every)
    assert floats.dtype == torch.float32
    assert (floats.min(), floats.max()) == (-1, 1)
    assert torch.equal(to_uint8(floats), every)


def test_bytes_that_are_floats_already_are_left_as_they_were():
    given = torch.tensor([0.0, 127.5, 255.0])
    assert from_uint8(given).tolist() == [-1, 0, 1]
    assert given.tolist() == [0, 127.5, 255]


def test_what_leaves_the_range_is_clamped():
    assert to_uint8(torch.tensor([-7.0, -1.0, 0.0, 1.0, 3.5])).tolist() == [0, 0, 128, 255, 255]


def test_every_form_of_picture_can_be_shown():
    picture = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert to_pixels(picture) is picture
    assert torch.equal(to_pixels(torch.full((3, 4, 4), -1.0)), picture)
    assert torch.equal(to_pixels(torch.zeros(4, 4, dtype=torch.bool)), picture)
    assert to_pixels(torch.ones(4, 4, dtype=torch.bool)).unique().tolist() == [255]
    assert to_pixels(torch.full((4, 4), 0.5)).unique().tolist() == [128]


def test_a_contact_sheet_places_pictures_in_cells():
    red = torch.zeros(3, 8, 8, dtype=torch.uint8)
    red[0] = 255
    wide = torch.zeros(6, 12, dtype=torch.bool)
    sheet = contact_sheet([[red, wide], [wide, red]], tile=24, columns=("a", "b"), labels=("x",))
    width, height = sheet.size
    assert height == 20 + 2 * 28 + 4
    left, top = width - 2 * 28, 24
    assert sheet.getpixel((left + 12, top + 12)) == (255, 0, 0)
    assert sheet.getpixel((left + 28 + 12, top + 28 + 12)) == (255, 0, 0)
    assert sheet.getpixel((left + 28 + 12, top + 12)) == (0, 0, 0)
    assert sheet.getpixel((left + 28 + 12, top + 3)) == (255, 255, 255)  # a wide picture's margin


def test_the_distance_from_the_centre_is_one_in_the_corners():
    distance = centre_distance(5, 9)
    assert distance[2, 4] == 0
    corners = distance[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners == pytest.approx(1)
    assert distance[0, 4] == pytest.approx(2 / math.hypot(2, 4))
    assert centre_distance(1, 1).tolist() == [[0.0]]


def otsu_by_hand(plane, low, high):
    """Try all thresholds; the first of the best ones, as the largest variance between classes."""
    levels = np.clip(np.round((plane - low) * (255 / (high - low))), 0, 255)
    best, found = -1.0, None
    for threshold in range(256):
        above = levels > threshold
        share = above.mean()
        if not 0 < share < 1:
            continue
        gap = levels[above].mean() - levels[~above].mean()
        if (variance := share * (1 - share) * gap**2) > best * (1 + 1e-12):
            best, found = variance, above
    return np.zeros(plane.shape, bool) if found is None else found


@pytest.mark.parametrize("limits", [None, (-1.0, 1.0), (-0.1, 0.3)])
def test_otsu_splits_each_plane_as_a_loop_over_thresholds_does(limits):
    torch.manual_seed(0)
    planes = 0.2 * torch.randn(6, 9, 14) + 0.5 * (torch.rand(6, 9, 14) > 0.7)
    for plane, found in zip(planes, above_otsu(planes, limits), strict=True):
        low, high = limits or (float(plane.min()), float(plane.max()))
        np.testing.assert_array_equal(found, otsu_by_hand(plane.numpy(), low, high))
        assert torch.equal(above_otsu(plane[None], limits)[0], found)


def test_a_plane_of_one_level_and_no_plane_have_nothing_above():
    planes = torch.full((2, 4, 4), 0.3)
    planes[1] = math.nan
    assert not above_otsu(planes).any()
    assert above_otsu(planes[:0]).shape == (0, 4, 4)
