"""Cost of finding and judging directions, as ratios: `python benchmarks/directions.py`.

- Lighter and darker searched together against two separate searches (to reach: 0.88).
- Bare cost: a step of the search over the generator's forward and backward passes in it alone
  (to reach: 1.10); also with the two shifted batches in two calls instead of one.
- Colour maps for 120 directions fitted together against 120 separate fits, for the whole time
  (to reach: 0.65) and for the fitting alone (to reach: 0.25), and how far their losses differ (to
  reach: 1 %). A separate fit is the straightforward one: automatic differentiation, one direction.

Everything runs on one thread; times are processor times, the best of several.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from gseg.directions.affine import Batches, fit_maps, generated_batches
from gseg.directions.config import OBJECTIVE_NAMES, affine_preset, search_preset
from gseg.directions.search import optimise
from gseg.generators.cards import GeneratorCard
from gseg.generators.catalogue import load_generator
from gseg.generators.contract import Generator
from gseg.generators.studiogan import ResNetConfig, ResNetGenerator


def scenes_sized() -> Generator:
    """A residual generator of the embedded size with random weights."""
    torch.manual_seed(0)
    config = ResNetConfig(latent_dim=64, resolution=32, channels=(128, 96, 48, 24), num_classes=0)
    card = GeneratorCard(
        name="random.scenes32",
        family="SNGAN",
        architecture="resnet",
        dataset="none",
        resolution=32,
        num_classes=0,
        latent_dim=64,
        code_dim=64,
    )
    return Generator(ResNetGenerator(config), card)


def best_seconds(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """Time several pieces of work in turns, so that a disturbance meets all of them."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats + 1):
        for work, seen in zip(works, times, strict=True):
            began = time.process_time()
            work()
            seen.append(time.process_time() - began)
    return [min(seen[1:]) for seen in times]


def passes(generator: Generator, batch: int, splits: int) -> Callable[[], None]:
    """Forward of the originals, forward and backward of two shifted batches, nothing else."""
    code = torch.randn(batch, generator.card.code_dim, device=generator.device)
    y = torch.zeros(batch, dtype=torch.int64, device=generator.device)

    def work() -> None:
        with torch.no_grad():
            generator(code, y)
        for part in code.repeat(2, 1).chunk(splits):
            part = part.detach().requires_grad_()
            pictures = generator(part, y.repeat(2 // splits))
            torch.autograd.grad(pictures, part, torch.ones_like(pictures))

    return work


def searches(generator: Generator, steps: int, repeats: int) -> None:
    print(f"search on {generator.card.name}, {steps} steps of 32, one thread")
    print(f"{'objective':<20} {'ms/step':>8} {'joint/two':>10} {'bare':>6} {'bare, two calls':>16}")
    for name in OBJECTIVE_NAMES:
        config = replace(search_preset(name), steps=steps)
        one_call, two_calls = (passes(generator, config.batch, k) for k in (1, 2))
        joint, light, dark, once, twice = best_seconds(
            [
                lambda c=config: optimise(generator, c, (1, -1)),
                lambda c=config: optimise(generator, c, (1,)),
                lambda c=config: optimise(generator, c, (-1,)),
                lambda work=one_call: [work() for _ in range(steps)],
                lambda work=two_calls: [work() for _ in range(steps)],
            ],
            repeats,
        )
        print(
            f"{name:<20} {1e3 * joint / steps:>8.1f} {joint / (light + dark):>10.3f} "
            f"{joint / once:>6.3f} {joint / twice:>16.3f}",
            flush=True,
        )


def separate_fit(batches: Batches, steps: int, rate: float, start: Tensor) -> Tensor:
    """Fit two maps to one direction with autograd; gives the loss of the last five batches."""
    weights = start.clone().requires_grad_()
    adam = torch.optim.Adam([weights], lr=rate)
    losses = []
    for step in range(steps + 5):
        originals, shifted = batches(step)
        colours = originals.permute(0, 2, 3, 1).reshape(-1, 3)
        targets = shifted[0].permute(0, 2, 3, 1).reshape(-1, 3)
        mapped = torch.einsum("mij,pj->mpi", weights[..., :3], colours) + weights[:, None, :, 3]
        loss = (mapped.clamp(-1, 1) - targets).norm(dim=2).amin(0).mean()
        if step >= steps:
            losses.append(loss.detach())
            continue
        adam.zero_grad()
        loss.backward()
        adam.step()
    return torch.stack(losses).mean()


def stored(batches: Batches) -> Batches:
    """Take generation out of the time: the first pictures again and again."""
    pictures = [batches(step) for step in range(4)]
    return lambda step: pictures[step % 4]


def operators(generator: Generator, count: int, steps: int) -> None:
    """Both ways get the same start and batches; separate fits are timed on a sample of ten."""
    config = replace(affine_preset("voynov2021_program"), steps=steps)
    shifts = torch.randn(count, generator.card.code_dim)
    shifts = 5 * shifts / shifts.norm(dim=1, keepdim=True)
    start = first_weights(generator, shifts[:1])
    sample = range(0, count, max(1, count // 10))
    print(f"two maps for {count} directions of {generator.card.name}, {steps} steps of 4")
    for what, wrap in (("whole", lambda b: b), ("fitting alone", stored)):
        every = wrap(generated_batches(generator, shifts, config))
        singles = [wrap(generated_batches(generator, shifts[k : k + 1], config)) for k in sample]
        began = time.process_time()
        fit = fit_maps(every, config)
        together = time.process_time() - began
        began = time.process_time()
        losses = [separate_fit(b, steps, config.learning_rate, start) for b in singles]
        apart = (time.process_time() - began) * count / len(sample)
        began = time.process_time()
        for batches in singles:
            fit_maps(batches, config)
        own = (time.process_time() - began) * count / len(sample)
        gap = max(abs(fit.losses[k] / loss - 1) for k, loss in zip(sample, losses, strict=True))
        print(
            f"  {what:<14} together {together:>6.2f} s  apart {apart:>6.2f} s  ratio "
            f"{together / apart:.3f}  (against our own code, one at a time: {together / own:.3f})  "
            f"losses differ by {100 * gap:.2f} %",
            flush=True,
        )


def first_weights(generator: Generator, shifts: Tensor) -> Tensor:
    """The start that every fit shares: a fit whose one step is too small to move it."""
    config = replace(affine_preset("voynov2021_program"), steps=1, learning_rate=1e-12)
    return fit_maps(generated_batches(generator, shifts, config), config).maps.weights[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", help="catalogue name; default: random weights, 32 px")
    parser.add_argument("--steps", type=int, default=10, help="of a search")
    parser.add_argument("--fit-steps", type=int, default=20, help="of a fit")
    parser.add_argument("--directions", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = load_generator(options.generator) if options.generator else scenes_sized()
    searches(generator, options.steps, options.repeats)
    operators(generator, options.directions, options.fit_steps)


if __name__ == "__main__":
    main()
