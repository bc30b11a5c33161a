"""The choice of a threshold: least squares against NumPy, and shifts whose best cut is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gseg.directions.affine import fixed_mask_residuals
from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction, known_mask
from gseg.metrics.sums import area_under_curve
from gseg.samples.config import SampleConfig, filter_preset
from gseg.samples.draw import differences, draw, review
from gseg.samples.latents import candidates
from gseg.samples.thresholds import (
    ThresholdScores,
    choose_threshold,
    score_thresholds,
    settled,
)

CONFIG = SampleConfig(batch=16, blocks_per_shard=2, filters=filter_preset("none"))
CHOOSE = replace(CONFIG, mask_threshold="choose")


def tilted(darkens):
    """Move along contrast and exposure: the whole picture gets darker, too, or lighter."""
    generator = analytic_generator(16)
    # Coordinates of the analytic latent: its third factor is the exposure.
    rotated = torch.linalg.lstsq(
        torch.stack([generator.network.rotation[k] for k in range(8)]),
        torch.tensor([0.0, 0, 0, -darkens, 1, 0, 0, 0])[:, None],
    ).solution[:, 0]
    vector = rotated / rotated.norm()
    return generator, Direction(lighter=vector, darker=-vector)


def left_by_numpy(original, shifted, mask):
    """Fit a map to the pixels of each side by itself, and add up what is left."""
    left = 0.0
    for side in (mask, ~mask):
        known = np.c_[original[:, side].T, np.ones(side.sum())].astype(np.float64)
        target = shifted[:, side].T.astype(np.float64)
        maps = np.linalg.lstsq(known, target, rcond=None)[0]
        left += np.square(target - known @ maps).sum()
    return left


def test_residuals_of_a_fixed_mask_are_those_of_least_squares():
    torch.manual_seed(0)
    original, shifted = torch.rand(2, 5, 3, 12, 9) * 2 - 1
    masks = torch.rand(5, 12, 9) > torch.tensor([0.1, 0.5, 0.9, 0.97, 2.0])[:, None, None]
    two, one = fixed_mask_residuals(original, shifted, masks)
    for k in range(5):
        arrays = original[k].numpy(), shifted[k].numpy()
        assert two[k] == pytest.approx(left_by_numpy(*arrays, masks[k].numpy()), rel=1e-5)
        assert one[k] == pytest.approx(left_by_numpy(*arrays, masks[k].numpy() | True), rel=1e-5)
    assert two[4] == one[4]  # nothing is foreground: one map
    assert two.dtype == torch.float64


def test_two_maps_explain_what_two_maps_made():
    torch.manual_seed(1)
    original, masks = torch.rand(3, 3, 8, 8), torch.rand(3, 8, 8) > 0.6
    shifted = torch.where(masks[:, None], 0.5 * original + 0.3, original.flip(1) - 0.2)
    two, one = fixed_mask_residuals(original, shifted, masks)
    assert (two < 1e-5).all()
    assert (one > 1).all()
    wrong, _ = fixed_mask_residuals(original, shifted, masks.roll(1, 2))
    assert (wrong > 0.1 * one).all()


def test_a_picture_of_one_colour_has_nothing_left():
    grey = torch.full((1, 3, 4, 4), 0.25)
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[..., 0] = True
    two, one = fixed_mask_residuals(grey, grey + 0.5 * mask[:, None], mask)
    assert two < 1e-5
    assert one == pytest.approx(3 * 16 * 0.25 * 0.75 * 0.25, rel=1e-3)


@pytest.mark.parametrize("kind", ["lighter", "darker", "both"])
@pytest.mark.parametrize("darkens", [1.5, -1.5])
def test_otsu_is_chosen_where_zero_finds_too_little_or_too_much(kind, darkens):
    generator, direction = tilted(darkens)
    config = replace(CONFIG, mask_kind=kind)
    scores = score_thresholds(generator, direction, config, 48)
    assert scores.best == "otsu"
    chosen = choose_threshold(generator, direction, config)
    drawn = draw(generator, chosen, replace(config, mask_threshold="choose"), 32)
    otsu, zero = (
        draw(generator, direction, replace(config, mask_threshold=at), 32)
        for at in ("otsu", "zero")
    )
    assert torch.equal(drawn.masks, otsu.masks)
    assert not torch.equal(drawn.masks, zero.masks)
    z, _ = candidates(generator.card, config.latents, config.seed, drawn.indices.numpy())
    truth = known_mask(z, 16)
    right = [(each.masks == truth).float().mean() for each in (zero, otsu)]
    assert right[1] > right[0] + 0.05


@pytest.mark.parametrize(
    ("ratios", "shares", "best"),
    [
        ((0.3, 0.2), (0.2, 0.3), "otsu"),
        ((0.2, 0.3), (0.2, 0.3), "zero"),
        ((0.2, 0.2), (0.2, 0.3), "zero"),
        ((0.2, 0.3), (0.01, 0.3), "otsu"),
        ((0.2, 0.3), (0.7, 0.6), "otsu"),
        ((0.3, 0.2), (0.02, 0.61), "zero"),
        ((0.3, 0.2), (0.0, 0.7), "zero"),  # neither qualifies
    ],
)
def test_the_smallest_ratio_with_a_likely_share_wins(ratios, shares, best):
    names = ("zero", "otsu")
    scores = ThresholdScores(
        ratios=dict(zip(names, ratios, strict=True)), shares=dict(zip(names, shares, strict=True))
    )
    assert scores.best == best


def test_the_choice_says_what_it_went_by_and_is_the_same_for_any_seed_and_batch(tmp_path):
    generator, direction = tilted(1.5)
    chosen = choose_threshold(generator, direction, CONFIG)
    facts = chosen.provenance["mask_threshold"]
    assert facts["ratios"]["otsu"] < facts["ratios"]["zero"] <= 1
    assert facts["shares"]["zero"] < facts["shares"]["otsu"]
    other = choose_threshold(generator, direction, replace(CHOOSE, seed=5, batch=3))
    assert other.provenance == chosen.provenance
    assert "mask_threshold" not in direction.provenance
    chosen.save(tmp_path)
    kept = Direction.load(tmp_path)
    assert settled(CHOOSE, kept) == replace(CONFIG, mask_threshold="otsu")
    looked = [review(generator, kept, each, 0) for each in (CHOOSE, settled(CHOOSE, kept))]
    assert torch.equal(looked[0].masks, looked[1].masks)


def test_a_choice_that_was_not_made_is_told():
    generator, direction = tilted(1.5)
    with pytest.raises(ValueError, match=r"needs a direction for which .* call choose_threshold"):
        draw(generator, direction, CHOOSE, 4)
    with pytest.raises(ValueError, match="got 'half'"):
        settled(CHOOSE, replace(direction, provenance={"mask_threshold": {"chosen": "half"}}))


@pytest.mark.parametrize("darkens", [0.0, 1.5])
def test_the_difference_orders_pixels_as_the_known_masks_do_whatever_the_threshold(darkens):
    generator, direction = tilted(darkens)
    z, _ = candidates(generator.card, CONFIG.latents, CONFIG.seed, np.arange(24))
    truth = known_mask(z, 16).numpy()
    found = differences(generator, direction, CONFIG, np.arange(24)).numpy()
    assert np.nanmean(area_under_curve(found, truth)) > 0.99
    worse = differences(generator, replace(direction, lighter=direction.darker), CONFIG, range(24))
    assert np.nanmean(area_under_curve(worse.numpy(), truth)) < 0.05


def test_the_known_direction_needs_no_other_threshold_than_zero():
    generator = analytic_generator(16)
    vector = known_direction(generator)
    direction = Direction(lighter=vector, darker=-vector)
    scores = score_thresholds(generator, direction, CONFIG, 48)
    assert scores.ratios["zero"] < 0.2
    assert abs(scores.ratios["zero"] - scores.ratios["otsu"]) < 0.02
