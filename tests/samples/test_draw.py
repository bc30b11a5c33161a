import importlib.util
import multiprocessing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from gseg.generators.analytic import analytic_generator, known_direction, known_mask
from gseg.generators.catalogue import load_generator
from gseg.generators.contract import Generator
from gseg.randomness import labels, latents
from gseg.samples.cascade import Cascade
from gseg.samples.config import REASONS, FilterConfig, SampleConfig, filter_preset
from gseg.samples.draw import draw, draw_shard
from gseg.samples.latents import candidates
from gseg.samples.sets import AcceptanceError, check_acceptance, load_samples
from gseg.samples.shards import shard_name

SPEC = importlib.util.spec_from_file_location("oracle", Path(__file__).with_name("oracle.py"))
oracle = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(oracle)

CONFIG = SampleConfig(epsilon=2.0, batch=16, blocks_per_shard=2, seed=7)


def make(resolution=16, num_classes=0):
    generator = analytic_generator(resolution, num_classes=num_classes)
    vector = known_direction(generator)
    return generator, SimpleNamespace(lighter=vector, darker=-vector)


def same(first, second):
    assert torch.equal(first.indices, second.indices)
    assert torch.equal(first.pictures, second.pictures)
    assert torch.equal(first.masks, second.masks)
    assert list(first.statistics) == list(second.statistics)
    for name, values in first.statistics.items():
        assert torch.equal(values, second.statistics[name])
    if first.labels is None:
        assert second.labels is None
    else:
        assert torch.equal(first.labels, second.labels)


def draw_elsewhere(numbers, folder):
    """Draw shards and leave them in files."""
    for number in numbers:
        draw_shard(*make(num_classes=3), CONFIG, number).save(Path(folder) / shard_name(number))


def test_a_shard_is_what_a_loop_over_its_candidates_gives():
    generator, direction = make(num_classes=3)
    config = replace(
        CONFIG, batch=1, blocks_per_shard=48, filters=filter_preset("melas2022_program")
    )
    shard = draw_shard(generator, direction, config, 1)
    place = 0
    rejected = dict.fromkeys(REASONS, 0)
    for index in range(48, 96):
        z, y = latents(7, [index], 8), labels(7, [index], 3)
        original = generator(z, y)
        mask, reason = oracle.judge_program(
            original[0].numpy(), generator(z + 2.0 * direction.lighter, y)[0].numpy()
        )
        if reason is None:
            assert (int(shard.indices[place]), int(shard.labels[place])) == (index, int(y))
            pixels = ((original[0] + 1) * 127.5).round().to(torch.uint8)
            assert torch.equal(shard.pictures[place], pixels)
            np.testing.assert_array_equal(shard.masks[place].numpy(), mask)
            assert shard.statistics["foreground_share"][place] == pytest.approx(mask.mean())
            place += 1
        else:
            rejected[reason] += 1
    assert place == len(shard) > 0
    assert shard.counts == {"candidates": 48, "accepted": place, **rejected}
    assert rejected["histogram"] > 0


def test_latents_and_labels_belong_to_their_candidates():
    generator, direction = make(num_classes=3)
    shard = draw_shard(generator, direction, CONFIG, 1)
    assert 0 < len(shard) < 32
    assert torch.equal(shard.labels, labels(7, shard.indices, 3))
    pictures = generator(latents(7, shard.indices, 8), shard.labels)
    assert ((pictures + 1) * 127.5 - shard.pictures).abs().max() < 0.51


@pytest.mark.parametrize("kind", ["lighter", "darker", "both"])
def test_masks_are_the_true_ones(kind):
    generator, direction = make(resolution=32)
    samples = draw(generator, direction, replace(CONFIG, mask_kind=kind), 100)
    truth = known_mask(latents(7, samples.indices, 8), 32)
    assert (samples.masks == truth).float().mean() > 0.999
    assert samples.labels is None


def test_mean_masks_use_the_lighter_pictures():
    generator, direction = make(resolution=32)
    config = replace(CONFIG, mask_kind="mean", filters=filter_preset("none"), epsilon=4.0)
    samples = draw(generator, SimpleNamespace(lighter=direction.lighter, darker=None), config, 64)
    lighter = generator(latents(7, samples.indices, 8) + 4.0 * direction.lighter)
    grey = torch.from_numpy(np.stack([oracle.luminance(each) for each in lighter.numpy()]))
    assert (samples.masks == (grey > grey.mean(dim=(1, 2), keepdim=True))).float().mean() > 0.999


def test_shard_borders_change_nothing():
    parts = make(num_classes=3)
    whole = draw(*parts, CONFIG, 60)
    for blocks in (1, 3, 8):
        same(draw(*parts, replace(CONFIG, blocks_per_shard=blocks), 60), whole)


def test_the_batch_moves_last_bits_only():
    parts = make()
    keep = replace(CONFIG, filters=filter_preset("none"))
    first, second = (draw(*parts, replace(keep, batch=batch), 64) for batch in (16, 64))
    assert torch.equal(first.indices, second.indices)
    assert (first.pictures.int() - second.pictures.int()).abs().max() <= 1


def test_a_larger_set_extends_a_smaller_one():
    parts = make(num_classes=3)
    large = draw(*parts, CONFIG, 90)
    for count in (1, 31, 64):
        small = draw(*parts, CONFIG, count)
        assert len(small) == count
        for name in ("indices", "labels", "pictures", "masks"):
            assert torch.equal(getattr(small, name), getattr(large, name)[:count])


def test_another_process_draws_the_same_in_any_order(tmp_path):
    worker = multiprocessing.get_context("spawn").Process(
        target=draw_elsewhere, args=((2, 0), str(tmp_path))
    )
    worker.start()
    draw_elsewhere((1,), tmp_path)
    worker.join()
    assert worker.exitcode == 0
    paths = [tmp_path / shard_name(number) for number in range(3)]
    same(load_samples(paths, 70), draw(*make(num_classes=3), CONFIG, 70))


def test_counts_add_up_and_progress_reports_every_shard():
    heard = []
    samples = draw(*make(), CONFIG, 40, progress=lambda done, total: heard.append((done, total)))
    counts = samples.counts
    assert list(counts) == ["candidates", "accepted", *REASONS]
    assert counts["candidates"] == counts["accepted"] + sum(counts[name] for name in REASONS)
    assert counts["candidates"] == 32 * len(heard)
    assert heard[-1] == (40, 40)
    assert heard[0][0] < 40


def test_tensors_are_ordinary_and_the_generator_is_left_alone():
    shard = draw_shard(*make(num_classes=3), CONFIG, 0)
    for values in (shard.pictures, shard.masks, shard.indices, *shard.statistics.values()):
        assert not values.is_inference()
    assert shard.pictures.dtype == torch.uint8
    assert shard.masks.dtype == torch.bool


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["ggan.scenes32", "sagan.scenes32"])
@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("lighter", "luminance"),
        ("lighter", "luminance_std"),
        ("both", "luminance"),
        ("mean", "rgb_norm"),
    ],
)
def test_a_shard_waits_for_events_alone(monkeypatch, device, forbid_waiting, name, kind, rule):
    generator = load_generator(name, device=device)
    vector = torch.nn.functional.normalize(torch.ones(generator.card.code_dim), dim=0)
    direction = SimpleNamespace(lighter=vector, darker=-vector)
    config = replace(
        CONFIG,
        mask_kind=kind,
        mask_rule=rule,
        filters=FilterConfig(max_share=1.0, each_direction=kind == "both"),
    )
    expected = draw_shard(generator, direction, config, 0)
    unguarded = Cascade.run

    def run(cascade, blocks):
        with forbid_waiting():
            return unguarded(cascade, blocks)

    monkeypatch.setattr(Cascade, "run", run)  # before it, directions are copied to the device
    shard = draw_shard(generator, direction, config, 0)
    assert len(shard) > 0
    same(shard, expected)


def test_statistics_measure_the_sample():
    generator, direction = make()
    config = replace(CONFIG, filters=filter_preset("voynov2021_program"))
    shard = draw_shard(generator, direction, config, 0)
    share = shard.masks.float().mean(dim=(1, 2))
    torch.testing.assert_close(shard.statistics["foreground_share"], share)
    assert shard.statistics["components"].ge(1).all()
    assert shard.statistics["histogram_maxima"].ge(2).all()
    assert shard.statistics["brightness_change"].gt(0.05).all()


def test_a_hopeless_filter_is_reported_with_its_counts():
    config = SampleConfig(
        batch=2_000, blocks_per_shard=2, filters=FilterConfig(histogram=None, max_share=0.001)
    )
    with pytest.raises(AcceptanceError, match=r"Only 0 of 12,000 candidates.*by area 12,000"):
        draw(*make(resolution=8), config, 10)


def test_the_least_acceptance_is_one_percent_of_ten_thousand():
    check_acceptance({"candidates": 9_999, "accepted": 0, "area": 9_999})
    check_acceptance({"candidates": 10_000, "accepted": 100, "area": 9_900})
    with pytest.raises(AcceptanceError, match="rejected by histogram 1, area 9,900"):
        check_acceptance({"candidates": 10_000, "accepted": 99, "histogram": 1, "area": 9_900})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_kind": "ensemble"}, "Unknown mask kind 'ensemble'"),
        ({"mask_rule": "hsv"}, "Unknown mask rule 'hsv'"),
        ({"mask_threshold": "half"}, "Unknown mask threshold 'half'; choose one of zero, otsu"),
        ({"mask_threshold": "otsu", "mask_kind": "affine"}, "'affine' ask which of two colour"),
        ({"mask_threshold": "choose", "mask_kind": "affine_each"}, "'affine_each' ask which"),
        ({"mask_threshold": "otsu", "mask_rule": "luminance_std"}, "a threshold of its own"),
        ({"epsilon": 0.0}, "above 0, got 0.0"),
        ({"epsilon": float("nan")}, "above 0, got nan"),
        ({"seed": -1}, "0 or more, got -1"),
        ({"batch": 0}, "at least 1, got 0"),
    ],
)
def test_configs_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        SampleConfig(**options)


def test_a_direction_of_another_generator_is_refused():
    generator, _ = make()
    other = SimpleNamespace(lighter=torch.ones(120), darker=torch.ones(120))
    with pytest.raises(ValueError, match=r"shape \(8,\), the lighter direction has \(120,\)"):
        draw_shard(generator, other, CONFIG, 0)


def test_at_least_one_sample_is_asked_for():
    with pytest.raises(ValueError, match="at least 1 sample, asked for 0"):
        draw(*make(), CONFIG, 0)


@pytest.mark.parametrize("kind", ["lighter", "mean"])
@pytest.mark.parametrize("shifted", [False, True])
def test_a_picture_that_is_not_finite_stops_the_drawing_with_its_candidate(kind, shifted):
    config = replace(CONFIG, mask_kind=kind, filters=filter_preset("none"))
    generator, direction = make()
    z, _ = candidates(generator.card, config.latents, config.seed, [27])
    moved = z + config.epsilon * direction.lighter if shifted else z

    class Broken(nn.Module):
        def forward(self, code, y):
            at = ((code - moved).abs().amax(1) < 1e-5)[:, None, None, None]
            return torch.where(at, torch.inf, generator.network(code, y))

    told = rf"candidate 27 of seed {config.seed}.*{'shifted' if shifted else 'not shifted'}"
    with pytest.raises(ValueError, match=told):
        draw_shard(Generator(Broken(), generator.card), direction, config, 0)
