"""Fewer pictures, the same samples: against a plain loop, alone and together, in any batch."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gseg.generators.analytic import analytic_generator, known_direction
from gseg.generators.catalogue import list_generators, load_generator
from gseg.generators.contract import Generator
from gseg.images import to_uint8
from gseg.samples.config import FilterConfig, LatentConfig, SampleConfig, filter_preset
from gseg.samples.draw import draw_shards
from gseg.samples.filters import judge, mean_changes
from gseg.samples.latents import candidates
from gseg.samples.masks import brightness_difference, make_masks

EMBEDDED = [card.name for card in list_generators("embedded")]
CONFIG = SampleConfig(epsilon=2.0, batch=8, blocks_per_shard=4, seed=7)
KINDS = ("lighter", "darker", "both", "mean")
CONTRAST = {
    kind: FilterConfig(min_contrast=least)
    for kind, least in zip(KINDS, (0.5, 0.5, 1.0, 0.3), strict=True)
}


class Counting(torch.nn.Module):
    """Notes the batches that a network sees."""

    def __init__(self, network):
        super().__init__()
        self.network, self.batches = network, []

    def forward(self, code, y):
        self.batches.append(len(code))
        return self.network(code, y)


def make(num_classes=3):
    generator = analytic_generator(16, num_classes=num_classes)
    vector = known_direction(generator)
    return generator, SimpleNamespace(lighter=vector, darker=-vector)


def directions(generator, count):
    random = torch.Generator().manual_seed(4)
    vectors = torch.nn.functional.normalize(
        torch.randn(2, count, generator.card.code_dim, generator=random), dim=2
    )
    return [SimpleNamespace(lighter=a, darker=b) for a, b in vectors.unbind(1)]


def plain_block(generator, direction, config, block):
    """What the definitions say, all pictures of a block first; (masks, verdicts, uint8, z, y)."""
    indices = np.arange(block * config.batch, (block + 1) * config.batch)
    z, y = candidates(generator.card, LatentConfig(), config.seed, indices)
    with torch.inference_mode():
        code = generator.code(z)
        original = generator(code, y)
        lighter = generator(code + config.epsilon * direction.lighter, y)
        darker = generator(code + config.epsilon * direction.darker, y)
    shifted = {"darker": [darker], "both": [lighter, darker]}.get(config.mask_kind, [lighter])
    triple = (original, lighter, darker)
    difference = brightness_difference(config.mask_kind, *triple, rule=config.mask_rule)
    how = {"rule": config.mask_rule, "at": config.mask_threshold}
    singles = [make_masks(kind, *triple, **how) for kind in ("lighter", "darker")]
    verdicts = judge(
        make_masks(config.mask_kind, *triple, **how),
        shifted,
        config.filters,
        directions=singles if config.mask_kind == "both" else (),
        changes=mean_changes(difference),
    )
    return indices, to_uint8(original), y, difference, verdicts


def same(first, second):
    assert first.counts == second.counts
    assert first.provenance == second.provenance
    for name in ("indices", "labels", "pictures", "masks"):
        mine, other = getattr(first, name), getattr(second, name)
        assert (mine is None) == (other is None)
        assert mine is None or torch.equal(mine, other), name
    assert list(first.statistics) == list(second.statistics)
    for name, values in first.statistics.items():
        assert torch.equal(values, second.statistics[name]), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["gseg", "melas2022_program", "otsu", "contrast"])
def test_a_shard_is_what_the_definitions_give(kind, source):
    generator, direction = make()
    # Those of Melas-Kyriazi et al. 2022 test the masks of single directions.
    preset = {"otsu": "melas2022_program"}.get(source, source)
    filters = CONTRAST[kind] if source == "contrast" else filter_preset(preset)
    rule = "luminance_std" if source == "melas2022_program" else "luminance"
    at = "otsu" if source == "otsu" else "zero"
    config = replace(CONFIG, mask_kind=kind, filters=filters, mask_rule=rule, mask_threshold=at)
    shard = draw_shards(generator, [(direction, config)], 1).shards[0]
    place = 0
    for block in range(4, 8):
        indices, pictures, y, difference, verdicts = plain_block(
            generator, direction, config, block
        )
        for row in np.flatnonzero(verdicts.accepted):
            assert shard.indices[place] == indices[row]
            assert shard.labels[place] == y[row]
            assert torch.equal(shard.pictures[place], pictures[row])
            np.testing.assert_array_equal(shard.masks[place].numpy(), verdicts.masks[row])
            change = difference[row].abs().mean()
            torch.testing.assert_close(shard.statistics["brightness_change"][place], change)
            for name, values in verdicts.statistics.items():
                assert shard.statistics[name][place] == values[row]
            place += 1
    assert 0 < place == len(shard) < 32
    if source == "contrast":
        assert shard.counts["contrast"] > 0


@pytest.mark.parametrize("name", EMBEDDED)
def test_places_and_neighbours_change_no_bit(name):
    """What the order of drawing rests on, in batches of one size."""
    generator = load_generator(name)
    z, y = candidates(generator.card, LatentConfig(), 3, np.arange(32))
    code = generator.code(z)

    def pictures(rows, size=16):
        missing = size - len(rows)
        padded = torch.cat([code[rows], code.new_zeros(missing, code.shape[1])])
        labels = None if y is None else torch.cat([y[rows], y.new_zeros(missing)])
        with torch.inference_mode():
            return generator(padded, labels)[: len(rows)]

    first = pictures(torch.arange(16))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pictures(order), first[order])
    mixed = torch.where(torch.arange(16) % 3 == 0, torch.arange(16), torch.arange(16) + 16)
    assert torch.equal(pictures(mixed)[::3], first[::3])
    assert torch.equal(pictures(torch.tensor([5])), first[5:6])


@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize(("kind", "at"), [("lighter", "otsu"), ("both", "zero")])
def test_embedded_generators_give_the_samples_of_the_plain_order(name, kind, at):
    generator = load_generator(name)
    direction = directions(generator, 1)[0]
    config = replace(
        CONFIG,
        mask_kind=kind,
        batch=16,
        blocks_per_shard=3,
        filters=FilterConfig(max_share=0.9),
        mask_threshold=at,
    )
    drawn = draw_shards(generator, [(direction, config)], 0)
    shard, place = drawn.shards[0], 0
    for block in range(3):
        indices, pictures, y, difference, verdicts = plain_block(
            generator, direction, config, block
        )
        for row in np.flatnonzero(verdicts.accepted):
            assert shard.indices[place] == indices[row]
            assert y is None or shard.labels[place] == y[row]
            assert torch.equal(shard.pictures[place], pictures[row])
            np.testing.assert_array_equal(shard.masks[place].numpy(), verdicts.masks[row])
            assert shard.statistics["brightness_change"][place] == mean_changes(difference)[row]
            for name, values in verdicts.statistics.items():
                assert shard.statistics[name][place] == values[row]
            place += 1
    assert place == len(shard)
    assert drawn.forwards <= {"lighter": 2, "both": 3}[kind] * config.shard_size


def test_directions_drawn_together_are_as_drawn_alone():
    generator, known = make()
    requests = [(known, replace(CONFIG, mask_kind=kind)) for kind in KINDS]
    requests += [(each, replace(CONFIG, epsilon=3.0)) for each in directions(generator, 2)]
    requests += [(known, replace(CONFIG, mask_kind="both", filters=filter_preset("none")))]
    together = draw_shards(generator, requests, 2)
    alone = [draw_shards(generator, [request], 2) for request in requests]
    for shard, single in zip(together.shards, alone, strict=True):
        same(shard, single.shards[0])
    assert min(len(shard) for shard in together.shards) > 0
    # Lighter and darker of one direction, two others, and G(z) of every candidate.
    assert together.forwards == 5 * CONFIG.shard_size
    assert together.forwards < 0.5 * sum(each.forwards for each in alone)


def test_the_number_of_pictures_is_counted():
    generator, direction = make()
    counting = Counting(generator.network)
    counted = Generator(counting, generator.card)
    for kind in KINDS:
        counting.batches.clear()
        config = replace(CONFIG, mask_kind=kind)
        drawn = draw_shards(counted, [(direction, config)], 0)
        assert set(counting.batches) == {CONFIG.batch}  # never another batch
        assert drawn.forwards == sum(counting.batches)
        shifted = 2 if kind == "both" else 1
        counts = drawn.shards[0].counts
        needed = counts["accepted"]
        if kind in ("lighter", "darker"):
            needed = counts["candidates"] - counts["histogram"]
        batches = -(-needed // CONFIG.batch)
        assert len(counting.batches) == 4 * shifted + batches


def test_nothing_accepted_needs_no_original():
    generator, direction = make()
    nothing = FilterConfig(histogram=None, max_share=0.0)
    config = replace(CONFIG, mask_kind="both", filters=nothing)
    drawn = draw_shards(generator, [(direction, config)], 0)
    assert drawn.forwards == 2 * CONFIG.shard_size
    assert drawn.shards[0].pictures.shape == (0, 3, 16, 16)
    assert drawn.shards[0].masks.shape == (0, 16, 16)


def test_threads_change_nothing(monkeypatch):
    """As on a device that works on its own: judges beside, and steps that lag behind."""
    generator, direction = make()
    requests = [(direction, replace(CONFIG, mask_kind=kind)) for kind in KINDS]
    alone = draw_shards(generator, requests, 0)
    threaded = draw_shards(generator, requests, 0, threads=3)
    monkeypatch.setattr(sys.modules["gseg.samples.draw"], "_LAG_ON_CPU", 1)
    lagging = draw_shards(generator, requests, 0, threads=3)
    for first, second, third in zip(alone.shards, threaded.shards, lagging.shards, strict=True):
        same(first, second)
        same(first, third)


def test_sets_with_other_candidates_are_not_drawn_together():
    generator, direction = make()
    with pytest.raises(ValueError, match="have the same latents, seed, batch"):
        draw_shards(generator, [(direction, CONFIG), (direction, replace(CONFIG, seed=8))], 0)
