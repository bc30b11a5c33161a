"""Pictures a second of each architecture, and what a cheaper setting does to the masks.

    python benchmarks/generators.py                 embedded generators
    python benchmarks/generators.py --published     every architecture at full size, random weights

A setting is worth taking where at least 99.5 % of the mask pixels equal float32's. The masks here
are those of a shift by one unit along a fixed random direction (Melas-Kyriazi et al. 2022, Eq. 3):
their boundaries are everywhere, so the agreement is a lower bound for an optimised direction.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gseg.generators import Generator, list_generators, load_generator
from gseg.generators.biggan_deep import BigGANDeepGenerator
from gseg.generators.checkpoints import plan
from gseg.generators.published import PUBLISHED, PublishedGenerator
from gseg.generators.stylegan2 import StyleGAN2Generator
from gseg.generators.stylegan2_checkpoint import stylegan2_config
from gseg.images import luminance
from gseg.randomness import labels, latents

REPEATS = 5
STYLEGAN2_WIDTHS = {"synthesis_kwargs": {"channel_base": 32768}, "z_dim": 512, "w_dim": 512}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A way to run a forward."""

    name: str
    channels_last: bool = False
    narrow: bool = False
    compiled: bool = False

    def context(self, device: str) -> AbstractContextManager[object]:
        """Give the precision's context."""
        return torch.autocast(device, torch.bfloat16) if self.narrow else nullcontext()


SETTINGS = (
    Setting(name="float32"),
    Setting(name="float32 channels-last", channels_last=True),
    Setting(name="bfloat16", narrow=True),
    Setting(name="bfloat16 channels-last", narrow=True, channels_last=True),
)
COMPILED = (
    Setting(name="float32 channels-last compiled", channels_last=True, compiled=True),
    Setting(name="bfloat16 channels-last compiled", narrow=True, channels_last=True, compiled=True),
)


def published(device: str) -> Iterator[Generator]:
    """Build each architecture once at full size, with random weights."""
    seen = set()
    for entry in PUBLISHED:
        size = (entry.card.architecture, entry.card.resolution, entry.card.latent_dim)
        if size in seen:
            continue
        seen.add(size)
        network = empty(entry).to_empty(device=device)
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.normal_(0, 0.02)
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
        yield Generator(network, entry.card)


def empty(entry: PublishedGenerator) -> nn.Module:
    """Build a published generator without memory."""
    with torch.device("meta"):
        if entry.card.architecture == "stylegan2":
            numbers = {**STYLEGAN2_WIDTHS, "img_resolution": entry.card.resolution}
            return StyleGAN2Generator(stylegan2_config(numbers, {}))
        if entry.card.architecture == "biggan_deep":
            return BigGANDeepGenerator(entry.config["config"])
    return plan(entry.config["family"], entry.config, {})[0]


@torch.no_grad()
def measure(
    generator: Generator, setting: Setting, batch: int, device: str
) -> tuple[float, Tensor]:
    """Give the seconds for a batch, the shortest of several, and its masks."""
    layout = torch.channels_last if setting.channels_last else torch.contiguous_format
    generator.to(memory_format=layout)
    call: Callable[..., Tensor] = torch.compile(generator) if setting.compiled else generator
    card = generator.card
    code = generator.code(latents(0, range(batch), card.latent_dim).to(device))
    y = labels(0, range(batch), card.num_classes)
    y = None if y is None else y.to(device)
    direction = latents(1, [0], card.code_dim).to(device)
    with setting.context(torch.device(device).type):
        original = call(code, y)
        shifted = call(code + direction / direction.norm(), y)
        seconds = min(timed(lambda: call(code, y), device) for _ in range(REPEATS))
    return seconds, luminance(shifted) > luminance(original)


def timed(run: Callable[[], Tensor], device: str) -> float:
    if device == "cpu":  # processor time: another program's load does not count
        started = time.process_time()
        run()
        return (time.process_time() - started) / torch.get_num_threads()
    started = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--published", action="store_true", help="full size, random weights")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cards = list_generators("embedded")
    embedded = (load_generator(card.name, device=options.device) for card in cards)
    settings = SETTINGS + (COMPILED if options.compile else ())
    print(f"{'generator':26}{'setting':34}{'pictures/s':>12}{'same mask pixels':>18}")
    for generator in published(options.device) if options.published else embedded:
        expected = None
        for setting in settings:
            seconds, masks = measure(generator, setting, options.batch, options.device)
            expected = masks if expected is None else expected
            same = (masks == expected).float().mean().item()
            shown = "" if options.published else f"{same:18.2%}"
            print(
                f"{generator.card.name:26}{setting.name:34}{options.batch / seconds:12.1f}{shown}",
                flush=True,
            )


if __name__ == "__main__":
    main()
