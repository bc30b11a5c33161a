import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from gseg.samples.filters import REASONS, FilterConfig, filter_preset
from gseg.samples.masks import make_masks
from gseg.samples.verdicts import judge

SPEC = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("oracle.py"))
oracle = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(oracle)


def candidates(count=60, size=24, seed=0):
    """Original and shifted pictures of all sorts: contrastive or not, noisy or smooth masks."""
    generator = torch.Generator().manual_seed(seed)
    original = torch.rand(count, 3, size, size, generator=generator) * 0.6 - 0.3
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 2, indexing="ij")
    radius = torch.rand(count, 1, 1, generator=generator) * 1.3
    disc = ((x**2 + y**2).sqrt() < radius).float() * 2 - 1
    strength = torch.rand(count, 1, 1, 1, generator=generator) * 1.4
    noise = torch.randn(count, 1, size, size, generator=generator) * 0.3
    shifted = (
        original + strength * disc[:, None] + noise * (torch.arange(count) % 2).view(-1, 1, 1, 1)
    )
    shifted[3] = original[3] - 0.1  # nothing gets brighter
    return original, shifted.clamp(-1, 1)


@pytest.mark.parametrize("source", ["text", "program"])
def test_verdicts_equal_the_oracle(source):
    original, shifted = candidates()
    config = filter_preset("voynov2021_text" if source == "text" else "melas2022_program")
    verdicts = judge(make_masks("lighter", original, shifted, None), [shifted], config)
    seen = set()
    for index, (first, second) in enumerate(zip(original.numpy(), shifted.numpy(), strict=True)):
        mask, reason = getattr(oracle, f"judge_{source}")(first, second)
        code = 0 if reason is None else 1 + REASONS.index(reason)
        assert verdicts.reasons[index] == code
        seen.add(reason)
        if reason != "histogram":
            np.testing.assert_array_equal(verdicts.masks[index], mask)
    assert {None, "histogram", "area"} <= seen


def half_and_half():
    """A contrastive shifted picture for every candidate, so that masks alone decide."""
    picture = torch.full((1, 3, 10, 10), -1.0)
    picture[..., :4] = 1.0
    return picture


def judge_mask(mask, **options):
    config = FilterConfig(**options)
    verdicts = judge(torch.as_tensor(mask)[None], [half_and_half()], config)
    reason = int(verdicts.reasons[0])
    return REASONS[reason - 1] if reason else None


def test_area_bounds():
    mask = np.zeros((10, 10), dtype=bool)
    mask[:5] = True
    assert judge_mask(mask) is None
    assert judge_mask(mask, max_share_strict=True) == "area"
    assert judge_mask(mask, min_share=0.5) is None
    assert judge_mask(mask, min_share=0.51, max_share=0.6) == "area"
    mask[5, 0] = True
    assert judge_mask(mask) == "area"


def test_area_is_measured_without_small_components():
    mask = np.zeros((10, 10), dtype=bool)
    mask[:5] = True
    mask[6::2, ::2] = True
    assert judge_mask(mask, component_share=0.0) == "area"
    assert judge_mask(mask) is None


def test_area_is_measured_with_small_components_if_asked_for():
    mask = np.zeros((10, 10), dtype=bool)
    mask[:5] = True
    mask[6::2, ::2] = True
    assert judge_mask(mask, area_first=True) == "area"
    assert judge_mask(mask, area_first=True, max_share=0.6) is None
    small, large = torch.zeros(2, 1, 10, 10, dtype=torch.bool).unbind()
    small[:, :3] = True
    large[:, :4] = large[:, 6::2, ::2] = True
    config = FilterConfig(each_direction=True, area_first=True, max_share=0.45)
    pictures = [half_and_half()] * 2
    assert judge(small, pictures, config, directions=[small, large]).counts()["area"] == 1
    assert judge(small, pictures, config, directions=[small, small]).accepted.all()


def test_a_small_change_of_brightness_is_rejected():
    masks = torch.zeros(4, 10, 10, dtype=torch.bool)
    masks[:3, :4] = True
    pictures = half_and_half().repeat(4, 1, 1, 1)
    pictures[2] = 0
    changes = torch.tensor([0.09, 0.1, 0.0, 0.0])
    config = FilterConfig(histogram="text", min_contrast=0.1)
    verdicts = judge(masks, [pictures], config, changes=changes)
    # Before the mask's own reasons, after the histogram; exactly the threshold is enough.
    reasons = [REASONS[code - 1] if code else None for code in verdicts.reasons]
    assert reasons == ["contrast", None, "histogram", "contrast"]
    with pytest.raises(ValueError, match="min_contrast needs the changes"):
        judge(masks, [pictures], config)


def test_an_empty_mask_is_rejected_unless_asked_for():
    mask = np.zeros((10, 10), dtype=bool)
    assert judge_mask(mask) == "empty"
    assert judge_mask(mask, min_share=0.1) == "empty"
    assert judge_mask(mask, allow_empty=True) is None
    assert judge_mask(mask, allow_empty=True, min_share=0.1) == "area"


def test_ragged_masks_are_a_reason_of_their_own():
    stripes = np.zeros((10, 10), dtype=bool)
    stripes[::2] = stripes[:, 0] = True
    assert judge_mask(stripes, max_share=1.0) is None
    assert judge_mask(stripes, max_share=1.0, min_roundness=0.03) == "components"
    assert judge_mask(stripes, min_roundness=0.03) == "components"  # before area


def test_the_first_reason_counts():
    flat = torch.zeros(1, 3, 10, 10)
    full = torch.ones(1, 10, 10, dtype=torch.bool)
    verdicts = judge(full, [flat], filter_preset("voynov2021_text"))
    assert verdicts.counts() == {
        "candidates": 1, "accepted": 0, "histogram": 1, "contrast": 0, "empty": 0, "components": 0,
        "area": 0, "agreement": 0,
    }  # fmt: skip
    assert list(verdicts.counts()) == ["candidates", "accepted", *REASONS]


def test_both_shifted_pictures_must_be_contrastive():
    mask = torch.zeros(1, 10, 10, dtype=torch.bool)
    mask[:, :3] = True
    good, flat = half_and_half(), torch.zeros(1, 3, 10, 10)
    assert judge(mask, [good, good], filter_preset("voynov2021_text")).accepted.all()
    for pair in ([good, flat], [flat, good]):
        assert judge(mask, pair, filter_preset("voynov2021_text")).counts()["histogram"] == 1


def test_each_direction_is_tested_where_the_program_does():
    small, large = torch.zeros(2, 1, 10, 10, dtype=torch.bool).unbind()
    small[:, :3] = True
    large[:, :7] = True
    shifted = [half_and_half()] * 2
    program = filter_preset("melas2022_program")
    assert judge(small, shifted, program, directions=[small, small]).accepted.all()
    assert judge(small, shifted, program, directions=[small, large]).counts()["area"] == 1
    assert judge(small, shifted, FilterConfig(), directions=[small, large]).accepted.all()
    agreeing = FilterConfig(each_direction=True, max_share=1.0, min_agreement=0.7)
    assert judge(small, shifted, agreeing, directions=[small, large]).counts()["agreement"] == 1
    assert judge(small, shifted, agreeing, directions=[small, small]).accepted.all()


def test_counts_add_up_and_batching_changes_nothing():
    original, shifted = candidates(count=50, seed=4)
    masks = make_masks("lighter", original, shifted, None)
    before = masks.clone()
    config = FilterConfig(min_roundness=0.02)
    whole = judge(masks, [shifted], config)
    assert torch.equal(masks, before)
    counts = whole.counts()
    assert counts["candidates"] == 50 == sum(counts.values()) - 50
    parts = [
        judge(mask, [picture], config)
        for mask, picture in zip(masks.split(7), shifted.split(7), strict=True)
    ]
    np.testing.assert_array_equal(whole.reasons, np.concatenate([part.reasons for part in parts]))
    for name, values in whole.statistics.items():
        joined = np.concatenate([part.statistics[name] for part in parts])
        np.testing.assert_array_equal(values, joined)


def test_no_filters_keep_everything_as_it_is():
    original, shifted = candidates()
    masks = make_masks("lighter", original, shifted, None)
    verdicts = judge(masks, [shifted], filter_preset("none"))
    assert verdicts.accepted.all()
    np.testing.assert_array_equal(verdicts.masks, masks.numpy())
