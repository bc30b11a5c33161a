"""Pictures a second of each architecture, and what a cheaper setting does to the samples.

    python benchmarks/generators.py                 embedded generators
    python benchmarks/generators.py --published     every architecture at full size, random weights

A setting is worth taking where at least 99.5 % of the mask pixels (Melas-Kyriazi et al. 2022,
Eq. 3) and 99 % of the filters' accept decisions equal those of float32. Embedded generators are
compared along the lighter direction that a search in float32 finds, or, with
``--direction random``, along a fixed random one, where the masks' boundaries are everywhere and
fewer of their pixels agree.

On one core with AMX, of 4,096 candidates of BigGAN, GGAN, SNGAN and UncondGAN each, bfloat16 keeps
99.8 % of the mask pixels, but 98.7 to 99.1 % of the decisions: of all that differ, three are for an
empty mask and the rest for the histogram. float32 channels-last keeps all of both. Compiled, a
forward of 64 pictures takes 1.33 (BigGAN) and 1.12 (GGAN) of the plain one's time.

Pictures a second of processor time at full size (random weights, batches of 2, one core):

    generator                float32   channels-last   bfloat16   bfloat16 channels-last
    acgan.tinyimagenet64        27.7            30.2       33.1                     44.6
    biggan.tinyimagenet64       15.0            16.3       21.8                     27.0
    sagan.imagenet128            5.6             6.5        7.4                     11.5
    contragan.imagenet128        2.6             2.9        3.8                      4.6
    uncondgan.imagenet128        4.1             3.8        6.2                      8.4
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gseg.directions.config import SearchConfig
from gseg.directions.search import search_direction
from gseg.exactness import exact
from gseg.generators.catalogue import list_generators, load_generator
from gseg.generators.checkpoints import plan
from gseg.generators.contract import Generator
from gseg.generators.published import PUBLISHED, PublishedGenerator
from gseg.generators.stylegan2 import StyleGAN2Generator
from gseg.generators.stylegan2_checkpoint import stylegan2_config
from gseg.randomness import labels, latents
from gseg.samples.filters import FilterPreset, filter_preset
from gseg.samples.masks import make_masks
from gseg.samples.verdicts import judge

REPEATS = 5
PIXELS_KEPT, DECISIONS_KEPT = 0.995, 0.99
PRESETS: tuple[FilterPreset, ...] = ("gseg", "voynov2021_text")
STYLEGAN2_WIDTHS = {"synthesis_kwargs": {"channel_base": 32768}, "z_dim": 512, "w_dim": 512}


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """A way to run a forward."""

    name: str
    channels_last: bool = False
    narrow: bool = False
    compiled: bool = False
    tf32: bool = False

    @contextmanager
    def context(self, device: str) -> Iterator[None]:
        """Run what is inside in this precision."""
        with ExitStack() as stack:
            stack.enter_context(tf32() if self.tf32 else exact())
            if self.narrow:
                stack.enter_context(torch.autocast(device, torch.bfloat16))
            yield

    @property
    def layout(self) -> torch.memory_format:
        """Memory format of the weights."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


@contextmanager
def tf32() -> Iterator[None]:
    """Allow TF32 in convolutions and matrix products."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


SETTINGS = (
    Context(name="float32"),
    Context(name="float32 channels-last", channels_last=True),
    Context(name="bfloat16", narrow=True),
    Context(name="bfloat16 channels-last", narrow=True, channels_last=True),
)
COMPILED = (
    Context(name="float32 channels-last compiled", channels_last=True, compiled=True),
    Context(name="bfloat16 channels-last compiled", narrow=True, channels_last=True, compiled=True),
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
        fill_randomly(network)
        yield Generator(network, entry.card)


@torch.no_grad()
def fill_randomly(network: nn.Module) -> None:
    """Fill a network with weights that neither explode nor vanish."""
    torch.manual_seed(0)
    for key, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            tensor.zero_()
        elif re.search(r"running_var|\.norm\w*\.weight$|\.bn\.weight$", key):
            tensor.fill_(1)
        elif tensor.ndim > 1:
            tensor.normal_(0, tensor[0].numel() ** -0.5)
        else:
            tensor.normal_(0, 0.02)
    if hasattr(network, "filter"):  # StyleGAN2's, which is no weight
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=network.filter.device)
        network.filter.copy_(torch.outer(taps, taps) / 64)


def empty(entry: PublishedGenerator) -> nn.Module:
    """Build a published generator without memory."""
    with torch.device("meta"):
        if entry.card.architecture == "stylegan2":
            numbers = {**STYLEGAN2_WIDTHS, "img_resolution": entry.card.resolution}
            return StyleGAN2Generator(stylegan2_config(numbers, {}))
        if entry.card.architecture == "biggan_deep":
            from gseg.generators.biggan_deep import BigGANDeepGenerator  # whose package is slow

            return BigGANDeepGenerator(entry.config["config"])
    return plan(entry.config["family"], entry.config, {})[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a setting gives."""

    pictures_per_second: float
    masks: Tensor
    accepted: dict[str, NDArray[np.bool_]]


@torch.no_grad()
def measure(
    generator: Generator, shift: Tensor, setting: Context, batch: int, candidates: int
) -> Outcome:
    """Time a batch, the shortest of several, and judge candidates batch by batch."""
    generator.to(memory_format=setting.layout)
    call: Callable[..., Tensor] = torch.compile(generator) if setting.compiled else generator
    device = generator.device.type
    masks, accepted = [], {name: [] for name in PRESETS}
    with setting.context(device):
        for first in range(0, candidates, batch):
            code, y = inputs(generator, range(first, first + batch))
            original, shifted = call(code, y), call(code + shift, y)
            masks.append(make_masks("lighter", original, shifted, None).cpu())
            for name in PRESETS:
                verdicts = judge(masks[-1], [shifted], filter_preset(name))
                accepted[name].append(verdicts.accepted)
        code, y = inputs(generator, range(batch))
        seconds = min(timed(lambda: call(code, y), device) for _ in range(REPEATS))
    return Outcome(
        pictures_per_second=batch / seconds,
        masks=torch.cat(masks),
        accepted={name: np.concatenate(parts) for name, parts in accepted.items()},
    )


def inputs(generator: Generator, indices: range) -> tuple[Tensor, Tensor | None]:
    """Give the codes and labels of some candidates."""
    card, device = generator.card, generator.device
    code = generator.code(latents(0, indices, card.latent_dim).to(device))
    y = labels(0, indices, card.num_classes)
    return code, None if y is None else y.to(device)


def find_shift(generator: Generator, *, searched: bool) -> Tensor:
    """Give a shift of unit length."""
    if searched:
        return search_direction(generator, SearchConfig()).lighter.to(generator.device)
    direction = latents(1, [0], generator.card.code_dim).to(generator.device)
    return direction / direction.norm()


def timed(run: Callable[[], Tensor], device: str) -> float:
    if device == "cpu":  # processor time: another program's load does not count
        started = time.process_time()
        run()
        return (time.process_time() - started) / torch.get_num_threads()
    started = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def agreement(found: Outcome, expected: Outcome) -> dict[str, Any]:
    """Give the shares of mask pixels and accept decisions that are float32's."""
    return {
        "same_pixels": (found.masks == expected.masks).float().mean().item(),
        **{
            f"{what} {name}": value
            for name, accepted in found.accepted.items()
            for what, value in (
                ("same_decisions", float(np.mean(accepted == expected.accepted[name]))),
                ("accepted", float(accepted.mean())),
            )
        },
    }


def keeps(shares: dict[str, Any]) -> bool:
    """Say whether a setting with this agreement is worth taking."""
    decisions = [value for name, value in shares.items() if name.startswith("same_decisions")]
    return shares["same_pixels"] >= PIXELS_KEPT and min(decisions) >= DECISIONS_KEPT


def cells(shares: dict[str, Any]) -> str:
    """Show an agreement."""
    text = f"{shares['same_pixels']:14.3%}"
    for name in PRESETS:
        text += f"{shares[f'same_decisions {name}']:17.2%}{shares[f'accepted {name}']:11.1%}"
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--published", action="store_true", help="full size, random weights")
    parser.add_argument("--compile", action="store_true", help="also with torch.compile")
    parser.add_argument("--direction", choices=("searched", "random"), default="searched")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--candidates", type=int, default=2048, help="compared with float32's")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cards = list_generators("embedded")
    embedded = (load_generator(card.name, device=options.device) for card in cards)
    settings = SETTINGS + (COMPILED if options.compile else ())
    head = f"{'generator':26}{'setting':34}{'pictures/s':>12}"
    if not options.published:
        print(f"{'':86}{'same decisions and share accepted under the filters':>56}")
        head += f"{'same pixels':>14}" + "".join(f"{name:>17}{'accepted':>11}" for name in PRESETS)
    print(head)
    for generator in published(options.device) if options.published else embedded:
        searched = options.direction == "searched" and not options.published
        shift = find_shift(generator, searched=searched)
        candidates = options.batch if options.published else options.candidates
        expected = None
        for setting in settings:
            found = measure(generator, shift, setting, options.batch, candidates)
            expected = found if expected is None else expected
            shown = "" if options.published else cells(agreement(found, expected))
            print(
                f"{generator.card.name:26}{setting.name:34}{found.pictures_per_second:12.1f}{shown}",
                flush=True,
            )


if __name__ == "__main__":
    main()
