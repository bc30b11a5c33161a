"""Samples with the masks of another model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.images import from_uint8, luminance
from gseg.metrics.sums import area_under_curve
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.stages.derived import RelabelledNode
from gseg.pipeline.stages.directions import GivenDirection
from gseg.pipeline.stages.segmenter import FILE, SegmenterNode
from gseg.pipeline.trial import samples_node
from gseg.samples.config import LabellerConfig, SampleConfig
from gseg.samples.labeller import labeller, sample_name
from gseg.samples.latents import candidates
from gseg.samples.sets import load_samples
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter
from gseg.segmenters.unet import UNet
from gseg.storage.store import Store

CONFIG = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=2, seed=7)
COUNT = 30
BRIGHT = "def bright(x):\n    return x.mean(1) > 0\n"


@pytest.fixture
def made(tmp_path):
    generator = analytic_generator(16)
    vector = known_direction(generator)
    Direction(lighter=vector, darker=-vector, provenance={}).save(tmp_path / "direction")
    direction = GivenDirection(given=tmp_path / "direction")
    node = samples_node("analytic.ellipses16", direction, CONFIG, COUNT, "cpu")
    return Workshop(Store(tmp_path / "storage"), LocalBackend()), node


def relabelled(made, config=None, network=None):
    """Give the samples other masks: the samples, how far masks agree, and the name."""
    shop, node = made
    found = RelabelledNode(source=node, count=COUNT, labeller=config, network=network, device="cpu")
    return found.sampled(shop), found.agreement(shop), shop.name(found)


@pytest.fixture
def function(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(BRIGHT)
    return file


def loaded(samples):
    return load_samples(samples.pairs.shards, samples.pairs.count)


def brightened(indices):
    """Give the change of luminance that the candidates' masks are cut from, (N, 16, 16)."""
    generator = analytic_generator(16)
    z, y = candidates(generator.card, CONFIG.latents, CONFIG.seed, indices.numpy())
    shifted = generator(z + CONFIG.epsilon * known_direction(generator), y)
    return (luminance(shifted) - luminance(generator(z, y))).double().numpy()


def original(made):
    shop, node = made
    return loaded(shop.make(node))


def test_pictures_stay_and_masks_are_the_function_s(made, function):
    found, agreement, name = relabelled(made, labeller(f"{function}:bright"))
    before, after = original(made), loaded(found)
    assert torch.equal(after.pictures, before.pictures)
    assert torch.equal(after.indices, before.indices)
    assert torch.equal(after.masks, from_uint8(before.pictures).mean(1) > 0)
    both = (after.masks & before.masks).sum((1, 2)).double()
    either = (after.masks | before.masks).sum((1, 2)).double()
    ious = [float(b / e) for b, e in zip(both, either, strict=True) if e]
    assert agreement["labeller_iou"] == pytest.approx(sum(ious) / len(ious))
    equal = (after.masks == before.masks).double().mean()
    assert agreement["labeller_accuracy"] == pytest.approx(float(equal))
    assert 0 < agreement["labeller_accuracy"] < 1
    expected = area_under_curve(brightened(after.indices), after.masks.numpy())
    assert agreement["labeller_auc"] == pytest.approx(np.nanmean(expected), abs=1e-6)
    assert found.pairs.count == COUNT
    again = relabelled(made, labeller(f"{function}:bright"))
    assert again[1:] == (agreement, name)


def test_the_content_names_a_labeller_not_its_place(tmp_path, function):
    name = labeller(f"{function}:bright")
    copy = tmp_path / "copy.py"
    copy.write_text(BRIGHT)
    assert labeller(f"{copy}:bright") == name
    function.write_text(BRIGHT + "\n")
    assert labeller(f"{function}:bright") != name
    assert labeller(f"{copy}:dark") != name


def test_a_changed_function_is_noticed(made, function):
    chosen = labeller(f"{function}:bright")
    function.write_text("def bright(x):\n    return x.mean(1) < 0\n")
    with pytest.raises(ValueError, match="has changed since the trial was planned"):
        relabelled(made, chosen)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return x", r"gave \(\d+, 3, 16, 16\), expected masks: a tensor of shape \(\d+, 16, 16\)"),
        ("return 3", "gave int, expected masks"),
        ("return x.mean(1) * float('nan')", r"bright: 'masks' holds NaN .* in row 0 of"),
        ("return x.mean(1) + 0j", r"bright: 'masks' holds torch\.complex64"),
        ("return x.mean(1)", r"expected bool, or probabilities in \[0, 1\]"),
    ],
)
def test_what_is_no_mask_is_refused(made, function, body, message):
    function.write_text(f"def bright(x):\n    {body}\n")
    with pytest.raises(ValueError, match=message):
        relabelled(made, labeller(f"{function}:bright"))


def test_probabilities_are_cut_at_a_half(made, function):
    function.write_text("def bright(x):\n    return (x.mean(1) > 0) * 0.5\n")
    found, *_ = relabelled(made, labeller(f"{function}:bright"))
    assert torch.equal(loaded(found).masks, from_uint8(original(made).pictures).mean(1) > 0)


def test_a_segmenter_labels(made, tmp_path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        segmenter = Segmenter(UNet(width=4, depth=2))
    segmenter.save(tmp_path / "s.safetensors")
    config = labeller(f"segmenter:{tmp_path / 's.safetensors'}")
    found, *_ = relabelled(made, config)
    wanted = segmenter.probability(from_uint8(original(made).pictures)) >= 0.5
    assert torch.equal(loaded(found).masks, wanted)


def test_a_network_of_the_graph_labels(made):
    """It is trained before, on scenes with their true masks, and names the samples."""
    training = FitConfig(steps=2, batch=2, decay_at=None, width=2, depth=2)
    networks = [SegmenterNode(training=training, scenes=n, device="cpu") for n in (3, 4)]
    shop, _ = made
    found, _, name = relabelled(made, network=networks[0])
    segmenter = Segmenter.load(shop.folder(networks[0]) / FILE)
    wanted = segmenter.probability(from_uint8(original(made).pictures)) >= 0.5
    assert torch.equal(loaded(found).masks, wanted)
    assert relabelled(made, network=networks[1])[2] != name


def test_a_folder_labels_by_names(made, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    pairs = original(made)
    for index, mask in zip(pairs.indices.tolist(), pairs.masks, strict=True):
        file = folder / f"{sample_name(CONFIG.seed, index)}.png"
        Image.fromarray((~mask).numpy().astype("uint8") * 255).save(file)
    config = labeller(f"folder:{folder}")
    found, agreement, _ = relabelled(made, config)
    assert torch.equal(loaded(found).masks, ~pairs.masks)
    assert (agreement["labeller_iou"], agreement["labeller_accuracy"]) == (0, 0)
    # Its own masks are those that a threshold gives: turned around, nothing is in order.
    assert agreement["labeller_auc"] == 0
    file.unlink()
    assert labeller(f"folder:{folder}") != config
    with pytest.raises(ValueError, match=r"lacks 1 of \d+ masks"):
        relabelled(made, labeller(f"folder:{folder}"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("segmenter:/nowhere", "no such file of a segmenter"),
        ("folder:/nowhere", "no such folder of masks"),
        ("/nowhere.py:f", "there is no such file"),
        ("no.such.module:f", "no module 'no.such.module'"),
        ("u2net", "names no function"),
    ],
)
def test_a_labeller_that_is_not_there(name, message):
    with pytest.raises(ValueError, match=message):
        labeller(name)


def test_only_generated_pictures_have_a_labeller():
    config = LabellerConfig(kind="function", place="m:f", digest="d")
    with pytest.raises(ValueError, match="leave it out with method 'otsu'"):
        Experiment(method="otsu", labeller=config)
    other = replace(config, place="elsewhere:f")
    assert other == config
