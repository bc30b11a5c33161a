import pytest
import torch

from gseg.samples.masks import brightness, brightness_difference, make_masks


def flat(red, green, blue, count=1):
    return torch.tensor([red, green, blue]).reshape(1, 3, 1, 1).expand(count, 3, 2, 2).clone()


@pytest.fixture
def pictures():
    """Original, lighter and darker: the left column is foreground."""
    original = flat(0.0, 0.0, 0.0)
    lighter = original.clone()
    lighter[..., 0] += 0.5
    lighter[..., 1] -= 0.5
    return original, lighter, -lighter


@pytest.mark.parametrize("rule", ["luminance", "rgb_norm", "luminance_std"])
@pytest.mark.parametrize("kind", ["lighter", "darker", "both", "mean"])
def test_every_kind_finds_what_the_shift_brightens(pictures, kind, rule):
    mask = make_masks(kind, *pictures, rule=rule)
    assert mask.dtype == torch.bool
    assert mask.tolist() == [[[True, False], [True, False]]]


def test_equal_brightness_is_background():
    picture = flat(0.25, -0.5, 0.125)
    for kind in ("lighter", "darker", "both"):
        assert not make_masks(kind, picture, picture, picture).any()
        assert not make_masks(kind, picture, picture, picture, rule="rgb_norm").any()


def test_the_kinds_subtract_what_they_say(pictures):
    original, lighter, darker = (torch.rand(3, 2, 3, 5, 4) * 2 - 1).unbind()
    b = lambda images: (  # noqa: E731
        0.2989 * images[:, 0] + 0.5870 * images[:, 1] + 0.1140 * images[:, 2]
    )
    expected = {
        "lighter": b(lighter) - b(original),
        "darker": b(original) - b(darker),
        "both": b(lighter) - b(darker),
        "mean": b(lighter) - b(lighter).mean(dim=(1, 2), keepdim=True),
    }
    for kind, difference in expected.items():
        found = brightness_difference(kind, original, lighter, darker)
        torch.testing.assert_close(found, difference)


def test_rules_disagree_where_luminance_and_norm_do():
    # Luminance rises from red to green, the norm of (R, G, B) falls.
    red, green = flat(1.0, -1.0, -1.0), flat(-1.0, 0.2, -1.0)
    assert make_masks("lighter", red, green, None, rule="luminance").all()
    assert not make_masks("lighter", red, green, None, rule="rgb_norm").any()


def test_norm_is_taken_on_zero_to_one():
    assert brightness(flat(-1.0, -1.0, -1.0), "rgb_norm").eq(0).all()
    torch.testing.assert_close(
        brightness(flat(0.2, -1.0, 0.6), "rgb_norm")[0, 0, 0], torch.tensor(1.0)
    )


def test_pictures_are_left_alone(pictures):
    before = [picture.clone() for picture in pictures]
    for rule in ("luminance", "rgb_norm", "luminance_std"):
        for kind in ("lighter", "darker", "both", "mean"):
            make_masks(kind, *pictures, rule=rule)
    for picture, copy in zip(pictures, before, strict=True):
        assert torch.equal(picture, copy)


def test_bad_arguments_are_explained(pictures):
    original, lighter, _ = pictures
    with pytest.raises(ValueError, match="'both' need the darker pictures"):
        make_masks("both", original, lighter, None)
    with pytest.raises(ValueError, match="Unknown mask kind 'ensemble'"):
        make_masks("ensemble", original, lighter, lighter)
    with pytest.raises(ValueError, match="Unknown mask rule 'hsv'"):
        make_masks("lighter", original, lighter, None, rule="hsv")
