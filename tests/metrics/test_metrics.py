"""gseg/metrics against the programs' own numbers and against a loop over thresholds."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from gseg.metrics.counts import PixelHistogram, pixel_histogram
from gseg.metrics.profiles import PROFILES, metric_profile
from gseg.metrics.sums import MetricSums, area_under_curve, merge_sums, score_images

DATA = Path(__file__).parents[1] / "data" / "metrics"
EXPECTED = json.loads((DATA / "expected.json").read_text())
PER_IMAGE = {entry["case"]: entry for entry in EXPECTED["per_image"]}
TOLERANCE = 1e-6
MAX_TOLERANCE = 1e-5
PART = 2**15
"""Pixels that are counted at a time on a CPU."""
NUMBERS = ("accuracy", "iou", "f_beta", "max_f_beta")
PAPERS = [name for name in PROFILES if name != "sod"]
"""Profiles that compare the probabilities themselves."""


@pytest.fixture(scope="module")
def cases():
    """Probabilities as each program computes them from the logits, and the true mask."""
    with np.load(DATA / "cases.npz") as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    softmax = {case: arrays[f"logits_{case}"].softmax(0) for case in PER_IMAGE}
    return {
        case: {
            "melas": softmax[case][1][None],
            "voynov": 1 - softmax[case][0][None],
            "mask": arrays[f"gt_{case}"][None] > 0,
        }
        for case in PER_IMAGE
    }


def histograms(cases, program, names):
    return [pixel_histogram(cases[name][program], cases[name]["mask"]) for name in names]


def loop_over_thresholds(probability, mask, profile):
    """The oracle: a comparison and a few sums of the whole picture for each threshold."""
    thresholds = torch.arange(0, 1, 1 / 255, dtype=torch.float64).tolist()
    used = thresholds[profile.first_threshold :]
    curve = [f_beta_of(probability > threshold, mask) for threshold in used]
    half = probability >= 0.5 if profile.half_inclusive else probability > 0.5
    union = (half | mask).sum().item()
    iou = (half & mask).sum().item() / union if union else profile.empty_union
    return {
        "accuracy": (half == mask).double().mean().item(),
        "iou": iou,
        "f_beta": f_beta_of(half, mask),
        "max_f_beta": max(curve),
        "mae": (probability.double() - mask.double()).abs().mean().item(),
        "curve": curve,
        "precision": [precision_of(probability > threshold, mask) for threshold in used],
        "recall": [precision_of(mask, probability > threshold) for threshold in used],
    }


def f_beta_of(predicted, mask):
    hit, found, wanted = (predicted & mask).sum(), predicted.sum(), mask.sum()
    precision = (hit / found).item() if found else 1.0
    recall = (hit / wanted).item() if wanted else 1.0
    bottom = 0.3 * precision + recall
    return 1.3 * precision * recall / bottom if bottom else 0.0


def precision_of(predicted, mask):
    """Precision; with its arguments exchanged, recall."""
    return ((predicted & mask).sum() / predicted.sum()).item() if predicted.any() else 1.0


def random_case(seed, count=5, height=23, width=31):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(count, height, width, generator=generator) > 0.7
    noise = torch.randn(count, height, width, generator=generator)
    probability = torch.sigmoid(2 * noise + mask.float())
    probability[:, :6] = (probability[:, :6] * 255).round() / 255
    probability[:, 6] = 0.5
    mask[1], mask[2] = False, True
    probability[3] = 0.0
    mask[3] = False
    return probability, mask


def same(first, second):
    return np.array_equal(first.counts, second.counts) and np.array_equal(first.error, second.error)


@pytest.mark.parametrize("case", PER_IMAGE)
def test_per_image_scores_are_the_programs(cases, case):
    for program, profile, names in (
        ("melas", "melas2022_program", ("acc", "iou", "f_beta", "f_max")),
        ("voynov", "voynov2021", ("accuracy", "IoU", None, "F_max")),
    ):
        (histogram,) = histograms(cases, program, [case])
        scores = score_images(histogram, metric_profile(profile))
        for ours, theirs in zip(NUMBERS, names, strict=True):
            if theirs is None:
                continue
            expected = PER_IMAGE[case][program][theirs]
            tolerance = MAX_TOLERANCE if ours == "max_f_beta" else TOLERANCE
            expected = math.nan if expected is None else expected
            np.testing.assert_allclose(getattr(scores, ours), [expected], rtol=0, atol=tolerance)


def test_aggregates_are_the_programs(cases):
    melas = MetricSums(profile=metric_profile("melas2022_program"))
    voynov = MetricSums(profile=metric_profile("voynov2021"))
    defined = MetricSums(profile=metric_profile("voynov2021"))
    for case in cases:
        melas.update(*histograms(cases, "melas", [case]))
        (histogram,) = histograms(cases, "voynov", [case])
        voynov.update(histogram)
        if not PER_IMAGE[case]["voynov"]["IoU_is_nan"]:
            defined.update(histogram)
    want = EXPECTED["aggregate_over_this_file"]
    got = melas.compute()
    assert got.accuracy == pytest.approx(want["melas"]["acc"], abs=TOLERANCE)
    assert got.iou == pytest.approx(want["melas"]["iou"], abs=TOLERANCE)
    assert got.f_beta == pytest.approx(want["melas"]["f_beta"], abs=TOLERANCE)
    assert got.max_f_beta == pytest.approx(want["melas"]["f_max"], abs=MAX_TOLERANCE)
    got = voynov.compute()
    assert got.accuracy == pytest.approx(want["voynov"]["accuracy"], abs=TOLERANCE)
    assert got.max_f_beta == pytest.approx(want["voynov"]["F_max"], abs=MAX_TOLERANCE)
    assert math.isnan(got.iou)
    assert got.undefined_iou == 1
    got, rest = defined.compute(), want["voynov_without_undefined_IoU"]
    assert got.images == rest["images"]
    assert got.iou == pytest.approx(rest["IoU"], abs=TOLERANCE)
    assert got.accuracy == pytest.approx(rest["accuracy"], abs=TOLERANCE)


@pytest.mark.parametrize(
    ("program", "profile"), [("melas", "melas2022_program"), ("voynov", "voynov2021")]
)
def test_precision_and_recall_at_every_threshold(cases, program, profile):
    with np.load(DATA / "expected_curves.npz") as file:
        names = [f"{case:02d}" for case in file["case_ids"]]
        precision, recall = file[f"{program}_precision"], file[f"{program}_recall"]
    parts = histograms(cases, program, names)
    counts, error = (np.concatenate([getattr(p, k) for p in parts]) for k in ("counts", "error"))
    whole = PixelHistogram(counts=counts, error=error)
    got = score_images(whole, metric_profile(profile))
    np.testing.assert_allclose(got.precision, precision, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(got.recall, recall, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", PAPERS)
def test_batch_equals_loop_over_thresholds(name):
    profile = metric_profile(name)
    probability, mask = random_case(seed=4)
    scores = score_images(pixel_histogram(probability, mask), profile)
    for image in range(len(mask)):
        oracle = loop_over_thresholds(probability[image], mask[image], profile)
        for number in (*NUMBERS, "mae", "curve", "precision", "recall"):
            np.testing.assert_allclose(
                getattr(scores, number)[image], oracle[number], atol=1e-7, err_msg=number
            )


def test_neighbouring_floats_of_every_threshold_are_told_apart():
    thresholds = np.concatenate([np.arange(0, 1, 1 / 255), [0.5, 1.0]]).astype(np.float32)
    values = np.concatenate(
        [
            thresholds,
            np.nextafter(thresholds, np.float32(-1)),
            np.nextafter(thresholds, np.float32(2)),
        ]
    )
    values = torch.from_numpy(values[(values >= 0) & (values <= 1)])
    mask = torch.ones(1, 1, len(values), dtype=torch.bool)
    mask[..., ::3] = False
    histogram = pixel_histogram(values[None, None], mask)
    for name in PAPERS:
        profile = metric_profile(name)
        oracle = loop_over_thresholds(values, mask[0, 0], profile)
        scores = score_images(histogram, profile)
        np.testing.assert_allclose(scores.curve[0], oracle["curve"], atol=1e-7)
        assert scores.accuracy[0] == pytest.approx(oracle["accuracy"], abs=1e-12)


def sorted_into_bins(probability, mask):
    """The oracle: each pixel by its place among the sorted thresholds, one picture at a time."""
    thresholds = np.arange(511) / 510
    thresholds[:509:2] = np.arange(0, 1, 1 / 255)
    thresholds = thresholds.astype(np.float32)
    counts, errors = [], []
    for values, truth in zip(probability.float().numpy(), mask.numpy(), strict=True):
        bins = sum(np.searchsorted(thresholds, values, side) for side in ("left", "right"))
        sides = [np.bincount(bins[truth == side], minlength=1024) for side in (False, True)]
        counts.append(np.stack(sides))
        units = np.floor(values.astype(np.float64) * 2**24) - truth * 2.0**24
        errors.append(np.abs(units).sum())
    return PixelHistogram(counts=np.stack(counts), error=np.array(errors, np.int64))


@pytest.mark.parametrize(
    ("count", "height", "width"),
    [
        (1, 1, 1),
        (1, 1, PART),
        (3, 2, PART // 2),  # a part is a picture
        (2, 181, 183),  # a picture is one part and a little more
        (2, 321, 213),  # several
        (5, 149, 110),  # a part is almost two
        (33, 32, 32),  # a part is 32
    ],
)
@pytest.mark.parametrize("layout", ["dense", "softmax", "transposed", "expanded"])
def test_parts_of_any_size_leave_no_seams(count, height, width, layout):
    generator = torch.Generator().manual_seed(height)
    shape = (count, height, width)
    if layout == "dense":  # on and beside thresholds, where a bin too far would show
        probability = torch.randint(0, 511, shape, generator=generator) / 510
        beside = torch.nextafter(probability, torch.rand(shape, generator=generator).round())
        probability = probability.where(torch.rand(shape, generator=generator) > 0.5, beside)
        probability = probability.where(probability > 0.01, -0.0)
    elif layout == "softmax":
        logits = torch.randn(count, 2, height, width, generator=generator)
        probability = logits.softmax(1)[:, 1]
    elif layout == "transposed":
        probability = torch.rand(height, width, count, generator=generator).permute(2, 0, 1)
    else:
        probability = torch.rand(1, height, width, generator=generator).expand(shape)
    mask = torch.rand(shape, generator=generator) > 0.7
    mask[0] = False
    before = probability.clone()
    assert same(pixel_histogram(probability, mask), sorted_into_bins(probability, mask))
    assert torch.equal(probability, before)


def test_hand_computed_picture():
    probability = torch.tensor([[[0.9, 0.6, 0.4, 0.1]]])
    mask = torch.tensor([[[True, False, True, False]]])
    scores = score_images(pixel_histogram(probability, mask), metric_profile("melas2022_program"))
    assert scores.accuracy[0] == 0.5
    assert scores.iou[0] == pytest.approx(1 / 3)
    assert scores.f_beta[0] == pytest.approx(0.5)
    # Between 0.6 and 0.9: what is found is right, and half is missed.
    assert scores.max_f_beta[0] == pytest.approx(1.3 * 0.5 / (0.3 * 1 + 0.5))
    assert scores.mae[0] == pytest.approx((0.1 + 0.6 + 0.6 + 0.1) / 4, abs=1e-7)
    assert not scores.degenerate[0]


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("seed", range(4))
def test_any_split_over_workers_gives_the_whole_bit_for_bit(name, seed):
    """Pictures cut into parts at random, the parts into batches at random, merged in any order."""
    profile = metric_profile(name)
    probability, mask = random_case(seed=8, count=12)
    whole = MetricSums(profile=profile)
    whole.update(pixel_histogram(probability, mask))
    rng = np.random.default_rng(seed)
    parts = []
    for worker in np.split(rng.permutation(12), np.sort(rng.integers(0, 13, 3))):
        part = MetricSums(profile=profile)
        for batch in np.split(worker, np.sort(rng.integers(0, len(worker) + 1, 2))):
            if len(batch):
                part.update(pixel_histogram(probability[batch], mask[batch]))
        parts.append(part)
    merged = merge_sums(parts)
    # repr, because NaN differs from itself.
    assert repr(merged.compute()) == repr(whole.compute())
    assert merged.curves().equals(whole.curves())


@pytest.mark.parametrize("name", PAPERS)
def test_aggregate_is_mean_over_images_and_maximum_of_mean_curve(name):
    profile = metric_profile(name)
    probability, mask = random_case(seed=2)
    keep = [0, 1, 2, 4]  # picture 3 is empty in both
    oracle = [loop_over_thresholds(probability[i], mask[i], profile) for i in keep]
    sums = MetricSums(profile=profile)
    sums.update(pixel_histogram(probability[keep], mask[keep]))
    got = sums.compute()
    for number in ("accuracy", "iou", "f_beta", "mae"):
        want = np.mean([entry[number] for entry in oracle])
        assert getattr(got, number) == pytest.approx(want, abs=1e-7)
    curve = np.mean([entry["curve"] for entry in oracle], axis=0)
    assert got.max_f_beta == pytest.approx(curve.max(), abs=1e-7)
    assert got.max_f_beta < np.mean([entry["max_f_beta"] for entry in oracle])
    assert got.mean_f_beta == pytest.approx(curve.mean(), abs=1e-7)
    curves = sums.curves()
    thresholds = np.arange(profile.first_threshold, 255) / 255
    np.testing.assert_allclose(curves.threshold, thresholds)
    for number in ("precision", "recall"):
        want = np.mean([entry[number] for entry in oracle], axis=0)
        np.testing.assert_allclose(curves[number], want, atol=1e-7)
    assert (got.images, got.degenerate_masks, got.undefined_iou) == (4, 2, 0)


def test_masks_of_one_value_are_scored_as_the_profile_says_and_counted():
    nothing = torch.zeros(2, 4, 4)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    nothing[1], mask[1] = 1.0, True
    histogram = pixel_histogram(nothing, mask)
    for name, empty in (("melas2022_program", 0.0), ("melas2022_text", 0.0)):
        scores = score_images(histogram, metric_profile(name))
        assert scores.iou.tolist() == [empty, 1.0]
        assert scores.degenerate.tolist() == [True, True]
    sums = MetricSums(profile=metric_profile("voynov2021"))
    assert math.isnan(sums.update(histogram).iou[0])
    got = sums.compute()
    assert math.isnan(got.iou)
    assert (got.degenerate_masks, got.undefined_iou) == (2, 1)


def test_half_precision_is_compared_as_float32():
    probability, mask = random_case(seed=3)
    short = probability.bfloat16()
    assert same(pixel_histogram(short, mask), pixel_histogram(short.float(), mask))


@pytest.mark.gpu
def test_device_gives_the_same_counts(cases, device):
    draw = torch.Generator().manual_seed(0)
    batches = [
        random_case(seed=3),
        (torch.rand(16, 128, 128, generator=draw), torch.rand(16, 128, 128, generator=draw) > 0.6),
        *((case["melas"], case["mask"]) for case in cases.values()),
        *((case["voynov"], case["mask"]) for case in cases.values()),
    ]
    for probability, mask in batches:
        here = pixel_histogram(probability, mask)
        there = pixel_histogram(probability.to(device), mask.to(device))
        assert same(there, here)
        for profile in PROFILES.values():
            curves = [score_images(each, profile).curve for each in (here, there)]
            np.testing.assert_array_equal(*curves)


@pytest.mark.parametrize(
    ("probability", "mask", "message"),
    [
        (torch.rand(1, 3, 3), torch.zeros(1, 3, 4, dtype=torch.bool), "do not fit"),
        (torch.rand(1, 3, 3), torch.zeros(1, 3, 3), "torch.bool"),
        (torch.rand(3, 3), torch.zeros(3, 3, dtype=torch.bool), r"expected \(N, H, W\)"),
        (torch.full((1, 2, 2), 1.5), torch.zeros(1, 2, 2, dtype=torch.bool), "softmax"),
        (torch.full((1, 2, 2), -0.1), torch.zeros(1, 2, 2, dtype=torch.bool), r"in \[0, 1\]"),
        (torch.full((1, 2, 2), math.nan), torch.zeros(1, 2, 2, dtype=torch.bool), "NaN"),
        (torch.rand(0, 2, 2), torch.zeros(0, 2, 2, dtype=torch.bool), "Nothing to score"),
    ],
)
def test_bad_input_is_named(probability, mask, message):
    with pytest.raises(ValueError, match=message):
        pixel_histogram(probability, mask)


def test_unknown_profile_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'voynov2021'"):
        metric_profile("voynov")


def test_sums_refuse_other_profiles_and_nothing():
    sums = MetricSums(profile=metric_profile("voynov2021"))
    with pytest.raises(ValueError, match="cannot be added"):
        sums.merge(MetricSums(profile=metric_profile("melas2022_text")))
    with pytest.raises(ValueError, match="No picture"):
        sums.compute()
    with pytest.raises(ValueError, match="No picture"):
        sums.curves()


def test_the_area_under_the_curve_counts_pairs_in_order():
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (5, 4, 7)).astype(float)  # many are equal
    masks = rng.random((5, 4, 7)) < np.array([0.1, 0.5, 0.9, -1, 2])[:, None, None]
    found = area_under_curve(values, masks)
    for k in range(3):
        pairs = [(f, b) for f in values[k][masks[k]] for b in values[k][~masks[k]]]
        won = sum((f > b) + 0.5 * (f == b) for f, b in pairs)
        assert found[k] == pytest.approx(won / len(pairs))
    assert np.isnan(found[3:]).all()  # all background, all foreground
    assert area_under_curve(values[:0], masks[:0]).shape == (0,)


def test_the_area_under_the_curve_is_one_where_a_threshold_gives_the_mask():
    values = np.random.default_rng(1).normal(size=(3, 6, 6))
    assert (area_under_curve(values, values > 0.4) == 1).all()
    assert (area_under_curve(values, values <= 0.4) == 0).all()
    assert (area_under_curve(np.zeros((3, 6, 6)), values > 0.4) == 0.5).all()
