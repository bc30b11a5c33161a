"""gseg/scores/baselines.py against scikit-image and drawings whose answer is known."""

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from gseg.images import from_uint8, luminance
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.scores.baselines import BASELINES, centre_disc, otsu
from gseg.scores.specs import CHAINS, RULES

RULES_OF_COLOUR = sorted(set(RULES) - {"centre_disc", "centre_disc_grabcut"})


def scenes(count):
    return from_uint8(render(range(VALIDATION_FIRST, VALIDATION_FIRST + count)).pictures)


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


def test_every_rule_has_words_and_every_chain_its_start():
    assert set(BASELINES) == set(RULES)
    assert len(set(RULES.values())) == len(RULES)
    assert set(CHAINS) < set(RULES)
    assert set(CHAINS.values()) == set(RULES) - set(CHAINS) - {"grabcut"}


@pytest.mark.parametrize("name", RULES)
def test_rules_treat_pictures_one_by_one(name):
    images = scenes(6)
    together = BASELINES[name](images)
    alone = torch.cat([BASELINES[name](image[None]) for image in images.flip(0)]).flip(0)
    assert torch.equal(together, alone)
    assert together.shape == (6, 32, 32)
    assert together.dtype == torch.float32
    assert set(together.unique().tolist()) <= {0.0, 1.0}
    assert BASELINES[name](images[:0]).shape == (0, 32, 32)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (96, 80), (24, 50)])
@pytest.mark.parametrize("name", RULES_OF_COLOUR)
def test_rules_find_one_colour_on_another_at_any_size(name, height, width):
    generator = torch.Generator().manual_seed(0)
    images = 0.05 * torch.randn(2, 3, height, width, generator=generator) - 0.2
    drawn = torch.zeros(height, width, dtype=torch.bool)
    drawn[height // 4 : -height // 4, width // 3 : -width // 3] = True
    images[:, :, drawn] += torch.tensor([0.7, 0.2, -0.4])[:, None]
    for mask in BASELINES[name](images).bool():
        assert (mask & drawn).sum() / (mask | drawn).sum() > 0.9


@pytest.mark.parametrize("name", RULES_OF_COLOUR)
def test_a_picture_of_one_colour_has_no_foreground_to_a_rule_that_cuts(name):
    if name != "grabcut":  # to which the rectangle is as good as the border
        assert BASELINES[name](torch.full((1, 3, 16, 16), 0.3)).sum() == 0


@pytest.mark.parametrize(
    ("name", "of_chroma", "centred"),
    [
        ("mahalanobis", False, False),
        ("mahalanobis_centred", False, True),
        ("mahalanobis_chroma", True, False),
        ("mahalanobis_chroma_centred", True, True),
    ],
)
def test_mahalanobis_equals_numpy(name, of_chroma, centred):
    images = scenes(20)
    for image, found in zip(images, BASELINES[name](images).bool().numpy(), strict=True):
        values = image.double().numpy()
        if of_chroma:
            values = values - luminance(image.double()[None]).numpy()
        border = np.ones((32, 32), dtype=bool)
        border[2:30, 2:30] = False
        covariance = np.cov(values[:, border], bias=True) + 0.003 * np.eye(3)
        offset = values.reshape(3, -1) - values[:, border].mean(1, keepdims=True)
        distance = np.sqrt((offset * np.linalg.solve(covariance, offset)).sum(0)).reshape(32, 32)
        if centred:
            axis = np.linspace(-1, 1, 32)
            distance = distance * np.exp(-(axis[:, None] ** 2 + axis**2) / (2 * 0.6**2))
        levels = np.round((distance - distance.min()) / np.ptp(distance) * 255).astype(np.uint8)
        np.testing.assert_array_equal(found, levels > threshold_otsu(levels))


def test_nearest_border_equals_all_pairs():
    images = scenes(10)
    border = torch.ones(32, 32, dtype=torch.bool)
    border[2:30, 2:30] = False
    for image, found in zip(
        images, BASELINES["nearest_border"](images).bool().numpy(), strict=True
    ):
        colours = image.double().flatten(1).T
        pairs = torch.cdist(colours, image.double()[:, border].T)
        distance = pairs.sort(1).values[:, :5].mean(1).view(32, 32).numpy()
        levels = np.round((distance - distance.min()) / np.ptp(distance) * 255).astype(np.uint8)
        np.testing.assert_array_equal(found, levels > threshold_otsu(levels))


def test_a_chain_mends_what_its_rule_missed():
    drawn = render(range(VALIDATION_FIRST, VALIDATION_FIRST + 60))
    images = from_uint8(drawn.pictures)

    def iou(name):
        mask = BASELINES[name](images).bool()
        both, either = (mask & drawn.masks).sum((1, 2)), (mask | drawn.masks).sum((1, 2))
        return (both / either.clamp(min=1)).mean()

    assert iou("mahalanobis_grabcut") > iou("mahalanobis") + 0.1
    assert iou("nearest_border_grabcut") > iou("nearest_border")


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 40), (31, 33)])
def test_centre_disc_is_a_disc_of_half_the_half_side(height, width):
    found = centre_disc(torch.zeros(2, 3, height, width))
    assert found.shape == (2, height, width)
    assert found[0].sum() == pytest.approx(np.pi * (min(height, width) / 4) ** 2, rel=0.05)
    assert torch.equal(found, found.flip(1))
    assert torch.equal(found, found.flip(2))
    assert found[0, height // 2, width // 2] == 1
    assert found[0, 0, 0] == 0
