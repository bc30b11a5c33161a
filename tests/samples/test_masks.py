"""Masks by hand: of every kind, and by colour maps."""

from dataclasses import replace

import pytest
import torch

from gseg.directions.affine import fit_operators
from gseg.directions.colour_maps import ColourMaps
from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction, known_mask
from gseg.samples.config import LatentConfig, SampleConfig, filter_preset
from gseg.samples.draw import draw, draw_shard
from gseg.samples.latents import candidates
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


@pytest.mark.parametrize("rule", ["luminance", "rgb_norm"])
@pytest.mark.parametrize("kind", ["lighter", "darker", "both", "mean"])
def test_otsu_finds_the_foreground_where_nothing_gets_brighter(pictures, kind, rule):
    """A shift that darkens the foreground as well, but less: zero finds nothing of it."""
    original, lighter, darker = pictures
    lighter[..., 0] = -0.125
    darker = -0.5 * lighter if kind == "darker" else -lighter
    darker[..., 0] = 0.125
    otsu = make_masks(kind, original, lighter, darker, rule=rule, at="otsu")
    assert otsu.tolist() == [[[True, False], [True, False]]]
    if kind != "mean":
        assert not make_masks(kind, original, lighter, darker, rule=rule).any()


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


# The lightening map adds 0.3; the darkening one swaps red and blue, darker by 0.2.
MAPS = ColourMaps(
    weights=torch.tensor(
        [
            [
                [[1.0, 0.0, 0.0, 0.3], [0.0, 1.0, 0.0, 0.3], [0.0, 0.0, 1.0, 0.3]],
                [[0.0, 0.0, 1.0, -0.2], [0.0, 1.0, 0.0, -0.2], [1.0, 0.0, 0.0, -0.2]],
            ]
        ]
    ),
    clamped=False,
)


@pytest.fixture(scope="module")
def ellipses():
    generator = analytic_generator()
    vector = known_direction(generator)
    direction = fit_operators(generator, Direction(lighter=vector, darker=-vector), 1.0)
    return generator, direction


def test_a_pixel_is_foreground_where_the_lightening_map_comes_closer() -> None:
    original = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(0)) - 0.5
    mask = torch.zeros(3, 6, 6, dtype=torch.bool)
    mask[:, 1:4, 2:5] = True
    light, dark = original + 0.3, original.flip(1) - 0.2
    shifted = torch.where(mask[:, None], light, dark)
    assert torch.equal(make_masks("affine", original, shifted, None, maps=MAPS), mask)
    assert torch.equal(make_masks("affine_each", original, shifted, None), mask)


def test_clamped_maps_end_at_the_range_of_pictures() -> None:
    original = torch.full((1, 3, 1, 1), 0.9)
    maps = replace(MAPS, clamped=True)
    shifted = torch.full((1, 3, 1, 1), 0.84)  # from 1.2: .36 away; clamped: .16; from .7: .14
    assert not make_masks("affine", original, shifted, None, maps=maps).any()
    assert make_masks("affine", original, shifted + 0.02, None, maps=maps).all()
    assert not make_masks("affine", original, shifted + 0.02, None, maps=MAPS).any()


@pytest.mark.parametrize("kind", ["affine", "affine_each"])
def test_samples_have_the_known_masks_whatever_else_is_in_their_batch(ellipses, kind) -> None:
    generator, direction = ellipses
    config = SampleConfig(
        mask_kind=kind, batch=16, blocks_per_shard=2, filters=filter_preset("none")
    )
    samples = draw(generator, direction, config, 32)
    z, _ = candidates(generator.card, LatentConfig(), 0, samples.indices.numpy())
    masks = known_mask(z, 32)
    both, either = (samples.masks & masks).sum((1, 2)), (samples.masks | masks).sum((1, 2))
    assert (both / either).mean() > 0.88
    code = z[5:8]
    alone = make_masks(
        kind, generator(code), generator(code + direction.lighter), None, maps=direction.operators
    )
    assert torch.equal(alone, samples.masks[5:8])


def test_a_direction_keeps_its_maps(ellipses, tmp_path) -> None:
    _, direction = ellipses
    facts = direction.provenance["operators"]
    assert facts["epsilon"] == 1
    assert 0 < facts["restoration_loss"] < facts["distance"]
    for clamped in (False, True):
        kept = replace(direction, operators=replace(direction.operators, clamped=clamped))
        kept.save(tmp_path / str(clamped))
        read = Direction.load(tmp_path / str(clamped)).operators
        assert read.clamped == clamped
        assert torch.equal(read.weights, direction.operators.weights)
    replace(direction, operators=None).save(tmp_path / "none")
    assert Direction.load(tmp_path / "none").operators is None
    with pytest.raises(ValueError, match=r"shape \(1, 2, 3, 4\), got \(1, 3, 3, 4\)"):
        replace(direction, operators=ColourMaps(weights=torch.zeros(1, 3, 3, 4), clamped=False))


def test_masks_without_maps_are_refused(ellipses) -> None:
    generator, direction = ellipses
    config = SampleConfig(mask_kind="affine", batch=4, blocks_per_shard=1)
    with pytest.raises(ValueError, match="fit them first"):
        draw_shard(generator, replace(direction, operators=None), config, 0)
    pictures = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ValueError, match="need the direction's colour maps"):
        make_masks("affine", pictures, pictures, None)
    with pytest.raises(ValueError, match="need the lighter pictures"):
        make_masks("affine_each", pictures, None, pictures)
    with pytest.raises(ValueError, match="has 8 coordinates"):
        fit_operators(analytic_generator(latent_dim=9), direction, 1.0)
