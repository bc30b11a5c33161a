"""gseg/scores/baselines.py against scikit-image and drawings whose answer is known."""

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from gseg.images import from_uint8, luminance
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.scores.baselines import centre_disc, otsu


def grey_picture(plane):
    return torch.as_tensor(plane, dtype=torch.float32).expand(3, -1, -1)


def test_otsu_equals_scikit_image_up_to_polarity():
    images = from_uint8(render(range(VALIDATION_FIRST, VALIDATION_FIRST + 40)).pictures)
    grey = luminance(images).clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8).numpy()
    for plane, found in zip(grey, otsu(images).bool().numpy(), strict=True):
        bright = plane > threshold_otsu(plane)
        border = np.concatenate([bright[0], bright[-1], bright[1:-1, 0], bright[1:-1, -1]])
        expected = ~bright if border.mean() > 0.5 else bright
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("level", [-0.6, 0.6])
def test_otsu_takes_polarity_from_the_border(level):
    plane = torch.zeros(20, 30)
    plane[5:15, 10:20] = level
    plane[0, 0] = level  # a little of the object touches the border
    found = otsu(grey_picture(plane)[None])
    assert torch.equal(found[0].bool(), plane == level)
    assert found.dtype == torch.float32


def test_one_grey_level_has_no_foreground():
    images = torch.stack([grey_picture(torch.full((8, 8), level)) for level in (-1.0, 0.0, 1.0)])
    assert otsu(images).sum() == 0


def test_otsu_treats_pictures_one_by_one():
    images = from_uint8(render(range(VALIDATION_FIRST, VALIDATION_FIRST + 6)).pictures)
    alone = torch.cat([otsu(image[None]) for image in images])
    assert torch.equal(otsu(images), alone)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 40), (31, 33)])
def test_centre_disc_is_a_disc_of_half_the_half_side(height, width):
    found = centre_disc(torch.zeros(2, 3, height, width))
    assert found.shape == (2, height, width)
    assert found[0].sum() == pytest.approx(np.pi * (min(height, width) / 4) ** 2, rel=0.05)
    assert torch.equal(found, found.flip(1))
    assert torch.equal(found, found.flip(2))
    assert found[0, height // 2, width // 2] == 1
    assert found[0, 0, 0] == 0
