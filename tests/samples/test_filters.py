"""The filters: histograms, and the verdicts on candidates."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from gseg.samples.config import REASONS, FilterConfig, filter_preset
from gseg.samples.filters import contrastive, count_maxima, histograms, judge
from gseg.samples.masks import make_masks

SPEC = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("oracle.py"))
oracle = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(oracle)

#                     bin: 0  1  2  3  4  5  6  7  8  9 10 11
VALLEY = np.array([[9, 6, 3, 0, 0, 0, 0, 0, 3, 6, 9, 12]])
HILL = np.array([[9, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 12]])
FALLING = np.array([[12, 9, 6, 3, 0, 0, 0, 0, 0, 0, 0, 0]])


def counted(pictures, rule):
    return histograms(pictures, rule).numpy()


def test_text_rule_by_hand():
    # Moving averages (ends over two bins) times 6: VALLEY 45 36 18 6 0 0 0 6 18 36 54 63: falls,
    # then rises, no hill. HILL 27 18 0 0 12 12 12 0 0 0 24 36: one hill, bins 4 to 6.
    assert count_maxima(VALLEY, "text").tolist() == [0]
    assert count_maxima(HILL, "text").tolist() == [1]
    assert count_maxima(FALLING, "text").tolist() == [0]
    assert contrastive(np.array([0, 1, 2]), "text").tolist() == [True, False, False]


def test_program_rule_by_hand():
    # Moving sums with zeros outside: VALLEY 15 18 9 3 0 0 0 3 9 18 27 21: maxima at 1, 5 (the
    # middle of the plateau) and 10. FALLING 21 27 18 9 3 0 ... 0: a maximum at 1, and each of
    # bins 6 to 11 is as high as its neighbours: 7 in all.
    assert count_maxima(VALLEY, "program").tolist() == [3]
    assert count_maxima(FALLING, "program").tolist() == [7]
    assert contrastive(np.array([0, 1, 2]), "program").tolist() == [False, False, True]


def test_one_grey_picture_by_hand():
    # Half black (-1), half white (1): all in the two end bins, value 1 itself in the last.
    picture = torch.full((1, 3, 4, 4), -1.0)
    picture[..., 2:] = 1.0
    for rule, values in (("text", 16), ("program", 48)):
        counts = counted(picture, rule)
        assert counts.tolist() == [[values // 2, *[0] * 10, values // 2]]
        assert contrastive(count_maxima(counts, rule), rule).all()
    # Half dark grey, half light grey: hills between the ends, which only the text minds.
    middle = picture * 0.45
    assert not contrastive(count_maxima(counted(middle, "text"), "text"), "text").any()
    assert contrastive(count_maxima(counted(middle, "program"), "program"), "program").all()


def test_a_flat_picture_is_rejected_by_the_text():
    counts = counted(torch.full((1, 3, 8, 8), 0.1), "text")
    assert not contrastive(count_maxima(counts, "text"), "text").any()


@pytest.mark.parametrize("shape", [(7, 3, 16, 16), (3000, 3, 2, 2)])
def test_counts_equal_numpy(shape):
    pictures = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 0.6
    for index, (text, program) in enumerate(
        zip(counted(pictures, "text"), counted(pictures, "program"), strict=True)
    ):
        if index % 97 == 0:
            picture = pictures[index].numpy()
            np.testing.assert_array_equal(text, oracle.histogram(oracle.luminance(picture)))
            np.testing.assert_array_equal(program, oracle.histogram(picture))


@pytest.mark.parametrize("window", [1, 3, 5])
def test_maxima_equal_the_oracle(window):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, (400, 12)) * rng.integers(0, 2, (400, 12))
    text = [oracle.text_maxima(row, window) for row in counts]
    program = [oracle.program_maxima(row, window) for row in counts]
    assert count_maxima(counts, "text", window).tolist() == text
    assert count_maxima(counts, "program", window).tolist() == program
    assert 0 < np.mean(np.array(text) == 0) < 1


def test_batching_changes_nothing():
    pictures = torch.rand(9, 3, 8, 8, generator=torch.Generator().manual_seed(2)) * 2 - 1
    for rule in ("text", "program"):
        whole = counted(pictures, rule)
        parts = [counted(part, rule) for part in pictures.split(4)]
        np.testing.assert_array_equal(whole, np.concatenate(parts))


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
