"""Published generators at full size, in a rehearsal narrow, with random weights."""

from dataclasses import replace

from benchmarks.generators import empty, fill_randomly
from benchmarks.gpu.findings import Task
from gseg.generators.cards import PUBLISHED, PublishedGenerator
from gseg.generators.contract import Generator

BIGBIGAN = "bigbigan.imagenet128"
WIDTHS = ("g_conv_dim", "G_ch", "nfilter", "channel_width")
NARROW = 8


def build_generator(name: str, task: Task) -> Generator:
    """Build a published generator on the task's device."""
    entry = next(entry for entry in PUBLISHED if entry.card.name == name)
    if task.rehearsal:
        entry = narrowed(entry)
    network = empty(entry).to_empty(device=task.device)
    fill_randomly(network)
    return Generator(network, entry.card)


def narrowed(entry: PublishedGenerator) -> PublishedGenerator:
    """Make a published generator a few channels wide, and BigBiGAN's pictures small."""
    numbers = dict(entry.config["config"])
    numbers |= {key: NARROW for key in WIDTHS if key in numbers}
    card = entry.card
    if card.name == BIGBIGAN:
        card = replace(card, resolution=32)
        numbers |= {"resolution": 32, "G_attn": "0"}
    return replace(entry, card=card, config={**entry.config, "config": numbers})
