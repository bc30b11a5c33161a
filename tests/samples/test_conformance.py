"""Masks and filters give exactly what the official programs gave."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from shared_folder import SHARED

from gseg.samples.components import keep_large_components, mask_agreement, roundness
from gseg.samples.config import filter_preset
from gseg.samples.filters import contrastive, count_maxima, histograms, judge
from gseg.samples.masks import make_masks

COPY = Path(__file__).parents[1] / "data" / "samples"
COMPLETE = SHARED / "conformance" / "filters"


class Facts:
    """The batches of one folder: pictures, the programs' masks and their verdicts."""

    def __init__(self, folder):
        self.pictures = np.load(folder / "cases.npz")
        self.masks = np.load(folder / "expected_masks.npz")
        self.batches = json.loads((folder / "expected.json").read_text())["batches"]

    def picture(self, batch, name):
        key = f"{batch['batch']}_{name}"
        if key not in self.pictures:
            return None
        return (torch.from_numpy(self.pictures[key]).float() + 0.5) / 128 - 1

    def mask(self, batch, name, count=None):
        shape = (batch["N"] if count is None else count, batch["height"], batch["width"])
        bits = np.unpackbits(self.masks[f"{batch['batch']}_{name}"])
        return bits[: np.prod(shape)].reshape(shape).astype(bool)


@pytest.fixture(scope="module", params=["copy", "complete"])
def facts(request):
    folder = COPY if request.param == "copy" else COMPLETE
    if not folder.exists():
        pytest.skip("the complete conformance cases are not beside the repository")
    return Facts(folder)


# Tests that take `each_device` run on the CPU and, as `pytest.mark.gpu`, on a card.
def pairs(facts, device):
    for batch in facts.batches:
        pictures = (facts.picture(batch, name) for name in ("img", "shifted"))
        yield batch, *(each.to(device) for each in pictures)


@pytest.mark.parametrize(
    ("name", "kind", "rule"),
    [
        ("melas_lighting", "lighter", "luminance"),
        ("melas_lighting_invert", "darker", "luminance"),
        ("melas_std", "lighter", "luminance_std"),
        ("melas_std_invert", "darker", "luminance_std"),
        ("voynov_lighting", "lighter", "luminance"),
        ("voynov_mean_thr", "mean", "luminance"),
    ],
)
def test_masks(facts, each_device, name, kind, rule):
    for batch, original, shifted in pairs(facts, each_device):
        found = make_masks(kind, original, shifted, shifted, rule=rule).cpu()
        np.testing.assert_array_equal(found.numpy(), facts.mask(batch, name), batch["batch"])


@pytest.mark.parametrize(
    ("name", "source", "share"),
    [
        ("melas_cc_0.05", "melas_lighting", 0.05),
        ("melas_cc_0.2", "melas_lighting", 0.2),
        ("melas_cc_0.5", "melas_lighting", 0.5),
        ("voynov_cc", "voynov_lighting", 0.2),
        ("voynov_cc_on_mean_thr", "voynov_mean_thr", 0.2),
    ],
)
def test_components(facts, name, source, share):
    for batch in facts.batches:
        cleaned = keep_large_components(
            facts.mask(batch, source), share, strict=True, connectivity=8
        )
        expected = facts.mask(batch, name)
        np.testing.assert_array_equal(cleaned.masks, expected, batch["batch"])
        np.testing.assert_allclose(cleaned.shares, expected.mean(axis=(1, 2)))


@pytest.mark.parametrize(
    ("name", "window"), [("melas_histogram_12", 3), ("melas_histogram_12_r5", 5)]
)
def test_histogram(facts, each_device, name, window):
    for batch, _, shifted in pairs(facts, each_device):
        maxima = count_maxima(histograms(shifted, "program").cpu().numpy(), "program", window)
        assert contrastive(maxima, "program").tolist() == batch[name], batch["batch"]


def survivors(config, masks, shifted):
    return np.flatnonzero(judge(masks, [shifted], config).accepted).tolist()


def test_area(facts, each_device):
    half = replace(filter_preset("melas2022_program"), histogram=None)
    wide = replace(half, min_share=0.05, max_share=0.6)
    strict = replace(half, max_share_strict=True)
    for batch, original, shifted in pairs(facts, each_device):
        masks = make_masks("lighter", original, shifted, None)
        for config, key in (
            (half, "melas_area_0.0_0.5"),
            (wide, "melas_area_0.05_0.6"),
        ):
            expected = np.flatnonzero(batch[key]).tolist()
            assert survivors(config, masks, shifted) == expected, batch["batch"]
        assert survivors(strict, masks, shifted) == (batch["voynov_area_0.5"] or [])


@pytest.mark.parametrize("threshold", [0.02, 0.04, 0.06])
def test_roundness(facts, threshold):
    compared = 0
    for batch in facts.batches:
        expected = batch[f"melas_roundness_{threshold}"]
        if isinstance(expected, list):  # the program breaks off at an empty mask
            found = roundness(facts.mask(batch, "melas_cc_0.2")) > threshold
            assert found.tolist() == expected, batch["batch"]
            compared += 1
    assert compared


def test_agreement(facts):
    for batch in facts.batches:
        found = mask_agreement(facts.mask(batch, "melas_std"), facts.mask(batch, "melas_lighting"))
        assert (found >= 0.9).tolist() == batch["melas_overlap_std_vs_lighting_0.9"]


@pytest.mark.parametrize("source", ["melas", "voynov"])
def test_pipelines(facts, each_device, source):
    config = filter_preset("melas2022_program" if source == "melas" else "voynov2021_program")
    for batch, original, shifted in pairs(facts, each_device):
        masks = make_masks("lighter", original, shifted, None)
        verdicts = judge(masks, [shifted], config)
        expected = batch[f"{source}_pipeline"]["survivors"]
        assert np.flatnonzero(verdicts.accepted).tolist() == expected, batch["batch"]
        if expected:
            kept = facts.mask(batch, f"{source}_pipeline", len(expected))
            np.testing.assert_array_equal(verdicts.masks[verdicts.accepted], kept)


@pytest.mark.parametrize("overlap", [0.0, 0.7])
def test_pipeline_of_two_directions(facts, each_device, overlap):
    config = replace(filter_preset("melas2022_program"), min_agreement=overlap)
    compared = 0
    for batch, original, lighter in pairs(facts, each_device):
        darker = facts.picture(batch, "dark")
        if darker is None:
            continue
        darker = darker.to(each_device)
        verdicts = judge(
            make_masks("both", original, lighter, darker),
            [lighter, darker],
            config,
            directions=[
                make_masks(kind, original, lighter, darker) for kind in ("lighter", "darker")
            ],
        )
        expected = batch[f"melas_dual_pipeline_overlap_{overlap}"]["survivors"]
        assert np.flatnonzero(verdicts.accepted).tolist() == expected, batch["batch"]
        if expected:
            kept = facts.mask(batch, f"dual{overlap}_mask", len(expected))
            np.testing.assert_array_equal(verdicts.masks[verdicts.accepted], kept)
        compared += 1
    assert compared
