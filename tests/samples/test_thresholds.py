"""The choice of a threshold: least squares against NumPy, and shifts whose best cut is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

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
