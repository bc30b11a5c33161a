"""Cost of drawing samples, as ratios within one run: `python benchmarks/samples.py`.

- Mask, histogram, components and area of a 128 px candidate with a noisy mask (to reach: 0.3 ms,
  and a tenth of the straightforward version in `tests/samples/oracle.py`).
- Drawing a shard, time over the time of the forward passes that it makes (to reach: 1.25 at the
  size of the embedded generators, 1.10 at that of a BigGAN for 128 px), also with the masks judged
  in a thread beside; and the share that writing the shard adds.
- Pictures that the generator makes for an accepted sample, against the plain order (G(z) and the
  shifted pictures of every candidate), for one and for eight directions.
- With --ray: a job on two Ray Data actors over two processes that each draw half of its shards in
  a plain loop (to reach: 1.15 for a job of two minutes or more).

Everything but the last runs on one thread and is measured in its CPU time, which a busy machine
disturbs less than wall time.
"""

import argparse
import importlib.util
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import torch
from torch import Tensor

from gseg.directions.config import search_preset
from gseg.directions.direction import Direction
from gseg.directions.search import search_direction
from gseg.generators.cards import GeneratorCard
from gseg.generators.catalogue import load_generator
from gseg.generators.contract import Generator
from gseg.generators.studiogan import ResNetConfig, ResNetGenerator
from gseg.pipeline.jobs.draw import DrawJob, DrawOrder
from gseg.samples.config import SampleConfig, filter_preset
from gseg.samples.draw import draw_shards
from gseg.samples.filters import judge
from gseg.samples.masks import make_masks
from gseg.samples.shards import shard_name

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


class Timed(torch.nn.Module):
    """Adds up the CPU time of a network's forward passes."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network, self.seconds = network, 0.0

    def forward(self, code: Tensor, y: Tensor | None) -> Tensor:
        """Run the network under the clock."""
        began = time.process_time()
        pictures = self.network(code, y)
        self.seconds += time.process_time() - began
        return pictures


def some_directions(generator: Generator, count: int) -> list[SimpleNamespace]:
    random = torch.Generator().manual_seed(1)
    vectors = torch.randn(count, generator.card.code_dim, generator=random)
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    return [SimpleNamespace(lighter=vector, darker=-vector) for vector in vectors]


def drawing(generator: Generator, config: SampleConfig, rounds: int) -> None:
    direction = some_directions(generator, 1)[0]
    timed = Timed(generator.network)
    measured = Generator(timed, generator.card)
    ratios: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(rounds):
        for threads, found in ratios.items():  # in turns: a busy machine is busy for both
            timed.seconds, began = 0.0, time.process_time()
            drawn = draw_shards(measured, [(direction, config)], 0, threads=threads)
            found.append((time.process_time() - began) / timed.seconds)
    shard = drawn.shards[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / shard_name(0)
        write = best_seconds(lambda: shard.save(path), 3) / timed.seconds
    counts = shard.counts
    print(
        f"{generator.card.name:<24} {config.shard_size:>6} "
        f"{1e3 * timed.seconds / drawn.forwards:>9.2f} {statistics.median(ratios[0]):>7.3f} "
        f"{statistics.median(ratios[1]):>7.3f} {write:>6.3f} "
        f"{counts['accepted'] / counts['candidates']:>9.2f}"
    )


def savings(name: str, shards: int) -> None:
    """Directions near the one that a search finds, as those of a sweep over λ are."""
    generator = load_generator(name)
    found = search_direction(generator, replace(search_preset("gseg"), steps=100))
    others = some_directions(generator, 8)
    near = []
    for turn, other in enumerate(others):
        pair = [
            torch.nn.functional.normalize(vector + 0.05 * turn * other.lighter, dim=0)
            for vector in (found.lighter, found.darker)
        ]
        near.append(SimpleNamespace(lighter=pair[0], darker=pair[1]))
    for kind in ("lighter", "both"):
        config = SampleConfig(mask_kind=kind)
        for count in (1, 8):
            requests = [(direction, config) for direction in near[:count]]
            drawn = [draw_shards(generator, requests, shard) for shard in range(shards)]
            accepted = sum(len(shard) for each in drawn for shard in each.shards)
            candidates = shards * config.shard_size * count
            plain = (3 if kind == "both" else 2) * candidates / accepted
            ours = sum(each.forwards for each in drawn) / accepted
            print(
                f"{name:<20} {kind:<8} {count:>10} {accepted / candidates:>9.2f} {plain:>7.2f} "
                f"{ours:>7.2f} {ours / plain:>6.2f}"
            )


def draw_share(job: DrawJob, first: int, shards: int) -> None:
    """Draw every second shard, as one of two plain loops."""
    torch.set_num_threads(1)
    job.alone(range(first, shards, 2), lambda drawn: None)


def on_ray(seconds: float) -> None:
    from gseg.distributed.backend import RayBackend
    from gseg.distributed.runtime import Resources
    from gseg.distributed.session import ray_session

    name = "sngan.scenes32"
    config = SampleConfig(filters=filter_preset("none"))
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        vector = some_directions(load_generator(name), 1)[0].lighter
        Direction(lighter=vector, darker=-vector, provenance={}).save(folder / "direction")

        def job(place: str, shards: int) -> DrawJob:
            order = DrawOrder(
                direction=folder / "direction", config=config, folder=folder / place,
                count=shards * config.shard_size,
            )  # fmt: skip
            return DrawJob(generator=name, orders=(order,))

        began = time.monotonic()
        draw_share(job("probe", 1), 0, 1)
        shards = 2 * max(1, round(seconds / (time.monotonic() - began)))
        loops = [
            multiprocessing.get_context("spawn").Process(
                target=draw_share, args=(job("plain", shards), first, shards)
            )
            for first in (0, 1)
        ]
        began = time.monotonic()
        for loop in loops:
            loop.start()
        for loop in loops:
            loop.join()
        plain = time.monotonic() - began
        with ray_session(num_cpus=2):
            backend = RayBackend(Resources(placement="cluster", actors=2))
            began = time.monotonic()
            backend.run(job("ray", shards), range(shards), lambda drawn: None)
            ours = time.monotonic() - began
    print(f"{shards} shards: plain {plain:.0f} s, Ray Data {ours:.0f} s, ratio {ours / plain:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generators", nargs="*", default=["sngan.scenes32"], help="for savings")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shards", type=int, default=4, help="shards of the savings' table")
    parser.add_argument("--ray", type=float, metavar="SECONDS", help="length of the job on Ray")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    filters()
    print("\ndrawing, one thread; ratios to the forward passes alone")
    print(
        f"{'generator':<24} {'cand.':>6} {'ms/pict.':>9} {'draw':>7} {'thread':>7} {'write':>6} "
        f"{'accepted':>9}"
    )
    everything = filter_preset("gseg")
    drawing(random_generator(32), SampleConfig(filters=everything), options.rounds)
    large = SampleConfig(batch=16, blocks_per_shard=8, filters=everything)
    drawing(random_generator(128), large, 1)
    print("\npictures made for an accepted sample")
    print(
        f"{'generator':<20} {'masks':<8} {'directions':>10} {'accepted':>9} {'plain':>7} "
        f"{'ours':>7} {'ratio':>6}"
    )
    for name in options.generators:
        savings(name, options.shards)
    if options.ray:
        print("\ntwo actors of Ray Data, two plain loops")
        on_ray(options.ray)


if __name__ == "__main__":
    main()
