"""Cost of drawing samples, as ratios within one run: `python benchmarks/samples.py`.

- Mask, histogram, components and area of a 128 px candidate with a noisy mask (to reach: 0.3 ms,
  and a tenth of the straightforward version in `tests/samples/oracle.py`).
- Drawing a shard, time over the generator's forward time alone for the same candidates
  (to reach: 1.25 at the size of the embedded generators); the share that writing it adds; and
  what it would cost to compute G(z) only for candidates that pass the histogram.

Everything runs on one thread and is measured in its CPU time, which a busy machine disturbs less
than wall time.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import torch
from torch import Tensor

from gseg.generators import load_generator
from gseg.generators.contract import Generator, GeneratorCard
from gseg.generators.resnet import ResNetConfig, ResNetGenerator
from gseg.samples import SampleConfig, Shard, draw_shard, filter_preset, make_masks, shard_name
from gseg.samples.histograms import contrastive, count_maxima, histograms
from gseg.samples.latents import prior
from gseg.samples.verdicts import judge

ORACLE = Path(__file__).parents[1] / "tests" / "samples" / "oracle.py"
WIDTHS = {32: (128, 96, 48, 24), 64: (256, 128, 96, 48, 24), 128: (512, 256, 128, 96, 48, 24)}


def best_seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def load_oracle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("oracle", ORACLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def noisy_candidates(count: int, side: int, noise: float) -> tuple[Tensor, Tensor]:
    """Pictures with a brightened blob, whose masks are torn by noise; all pass both histograms."""
    random = torch.Generator().manual_seed(0)
    coarse = torch.randn(count, 1, 6, 6, generator=random)
    blobs = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic") - 0.35
    foreground = torch.tanh(20 * blobs)
    shifted = 0.8 * foreground + 0.1 * torch.randn(count, 3, side, side, generator=random)
    change = foreground + noise * torch.randn(count, 1, side, side, generator=random)
    return (shifted - 0.3 * change).clamp(-1, 1), shifted.clamp(-1, 1)


def filters(side: int = 128, count: int = 32) -> None:
    oracle = load_oracle()
    print(f"filters, {side} px, {count} candidates a batch, one thread")
    print(f"{'rules':<18} {'components':>10} {'ms':>7} {'oracle ms':>10} {'ratio':>7}")
    for noise in (0.4, 0.6, 0.8):
        original, shifted = noisy_candidates(count, side, noise)
        masks = make_masks("lighter", original, shifted, None)
        number = np.mean(
            [cv2.connectedComponents(mask.astype(np.uint8))[0] for mask in masks.numpy()]
        )
        for name, loop in (
            ("voynov2021_text", oracle.judge_text),
            ("melas2022_program", oracle.judge_program),
        ):
            config = filter_preset(name)

            def ours(original=original, shifted=shifted, config=config) -> object:
                return judge(make_masks("lighter", original, shifted, None), [shifted], config)

            rejected = ours().counts()["histogram"]
            assert rejected == 0, f"{rejected} candidates skip the other filters"
            pairs = list(zip(original.numpy(), shifted.numpy(), strict=True))[:4]
            seconds = best_seconds(ours, 15) / count
            straight = best_seconds(lambda p=pairs, f=loop: [f(*pair) for pair in p], 2) / len(
                pairs
            )
            print(
                f"{name:<18} {number:>10.0f} {1e3 * seconds:>7.3f} {1e3 * straight:>10.2f} "
                f"{'1/' + format(straight / seconds, '.0f'):>7}"
            )


def random_generator(side: int) -> Generator:
    """A residual generator of the embedded ones' shape with random weights."""
    torch.manual_seed(0)
    config = ResNetConfig(latent_dim=64, resolution=side, channels=WIDTHS[side], num_classes=10)
    card = GeneratorCard(
        name=f"random weights, {side} px", family="", architecture="resnet", dataset="",
        resolution=side, num_classes=10, latent_dim=64, code_dim=64,
    )  # fmt: skip
    return Generator(ResNetGenerator(config), card)


class Plain:
    """The generator's forwards for the candidates of a shard and nothing else."""

    def __init__(self, generator: Generator, direction: SimpleNamespace, config: SampleConfig):
        self.generator, self.config = generator, config
        self.shift = config.epsilon * direction.lighter
        size, batch = config.shard_size, config.batch
        blocks = np.arange(size).reshape(-1, batch)
        self.inputs = [prior(generator.card, config.seed, block) for block in blocks]

    @torch.inference_mode()
    def run(self) -> None:
        """Both forwards of every candidate."""
        for z, y in self.inputs:
            code = self.generator.code(z)
            self.generator(code, y)
            self.generator(code + self.shift, y)

    @torch.inference_mode()
    def cascade(self) -> None:
        """Forwards alone again, G(z) for those that pass the histogram."""
        rule = self.config.filters.histogram
        for z, y in self.inputs:
            code = self.generator.code(z)
            shifted = self.generator(code + self.shift, y)
            passed = torch.from_numpy(
                contrastive(count_maxima(histograms(shifted, rule), rule), rule)
            )
            if passed.any():
                self.generator(code[passed], None if y is None else y[passed])


def drawing(generator: Generator, config: SampleConfig, rounds: int) -> None:
    random = torch.Generator().manual_seed(1)
    vector = torch.nn.functional.normalize(
        torch.randn(generator.card.code_dim, generator=random), dim=0
    )
    direction = SimpleNamespace(lighter=vector, darker=-vector)
    plain = Plain(generator, direction, config)
    shard = draw_shard(generator, direction, config, 0)
    ratios, cascades, pure = [], [], []
    for _ in range(rounds):  # taken in turns, so that a busy machine is busy for all
        forward = best_seconds(plain.run, 1)
        ratios.append(
            best_seconds(lambda: draw_shard(generator, direction, config, 0), 1) / forward
        )
        cascades.append(best_seconds(plain.cascade, 1) / forward)
        pure.append(forward)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / shard_name(0)
        write = best_seconds(lambda: shard.save(path), 3) / min(pure)
        read = best_seconds(lambda: Shard.load(path), 3)
    counts = shard.counts
    print(
        f"{generator.card.name:<24} {config.batch:>5} {1e3 * min(pure) / config.shard_size:>9.2f} "
        f"{statistics.median(ratios):>6.3f} {write:>6.3f} {statistics.median(cascades):>8.3f} "
        f"{counts['accepted'] / counts['candidates']:>9.2f} {len(shard) / read:>8.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generators", nargs="*", default=[], help="catalogue names")
    parser.add_argument("--sizes", nargs="*", type=int, default=[32], choices=sorted(WIDTHS))
    parser.add_argument("--batches", nargs="*", type=int, default=[64])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    filters()
    print("\ndrawing, one thread; ratios to the generator's forwards alone")
    print(
        f"{'generator':<24} {'batch':>5} {'ms/cand.':>9} {'draw':>6} {'write':>6} {'cascade':>8} "
        f"{'accepted':>9} {'read/s':>8}"
    )
    generators = [load_generator(name) for name in options.generators]
    for generator in generators or [random_generator(side) for side in options.sizes]:
        for batch in options.batches:
            drawing(generator, SampleConfig(batch=batch), options.rounds)


if __name__ == "__main__":
    main()
