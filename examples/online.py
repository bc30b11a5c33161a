"""Train a segmenter while its samples are drawn: nothing is stored, no pair is seen twice.

    python examples/online.py
    python examples/online.py --generator biggan.scenes32 --steps 1000 --actors 2

Voynov et al. 2021 trained so ("online synthetic data generation", section 3.5): each step takes
the next accepted pairs of picture and mask from the generator, and forgets them. A training needs
two things of whoever draws:

- an order: shard 0, 1, 2, ... of `gseg.samples.draw.draw_shard`, each a pure function of generator,
  direction, config and number, so that it does not matter who draws it. With `--actors`, a pool of
  Ray actors draws the next shards while this process trains; the segmenter is the same to the last
  bit, and the same as `gseg.segmenters.fit.fit_source` makes of stored samples in that order;
- a source, here `DrawnPairs`: anything with what `gseg.segmenters.pairs.BatchSource` asks for.

What is lost against samples that are stored: a second training (another seed, another width) draws
everything again, and one that was interrupted begins anew; there is nothing to look at afterwards;
and the generator has to keep up with the training, or the training waits. Where one of these
matters, draw first (`gseg samples draw`).
"""

import argparse
import itertools
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from torch import Tensor

import gseg
from gseg.distributed.session import ray_session
from gseg.samples.draw import draw_shard
from gseg.samples.sets import check_acceptance, sum_counts
from gseg.samples.shards import Shard
from gseg.segmenters.config import FitConfig
from gseg.segmenters.fit import FitResult, fit_source

AHEAD = 2
"""Shards that each actor draws before they are needed."""


class DrawnPairs:
    """Gives a training the pairs of shards, in their order, each once (a `BatchSource`).

    Args:
        shards: Shards 0, 1, 2, ..., without end.
        count: Number of pairs that the training sees.
        side: Of the pictures in pixels.
    """

    def __init__(self, shards: Iterator[Shard], count: int, side: int) -> None:
        self._shards, self._count = shards, count
        self._given = 0
        self._pictures = torch.empty((0, 3, side, side), dtype=torch.uint8)
        self._masks = torch.empty((0, side, side), dtype=torch.bool)
        self._totals: dict[str, int] = {}

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of every picture."""
        return self._masks.shape[1], self._masks.shape[2]

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Give the next pairs.

        `fit_source` calls this in a thread of its own, two steps before the pairs are needed.
        """
        wanted = len(indices)
        # What was given is gone. A shuffle_window of 1 makes the training ask in this order.
        if not np.array_equal(indices, np.arange(self._given, self._given + wanted)):
            raise ValueError(
                f"Drawn pairs come in their own order, {self._given} is next, asked for "
                f"{indices[0]}: train with shuffle_window=1 and one replica, from step 0."
            )
        while len(self._masks) < wanted:
            shard = next(self._shards)
            self._totals = sum_counts([self._totals, shard.counts])
            check_acceptance(self._totals)  # or filters that reject everything draw forever
            self._pictures = torch.cat([self._pictures, shard.pictures])
            self._masks = torch.cat([self._masks, shard.masks])
        self._given += wanted
        given = self._pictures[:wanted], self._masks[:wanted]
        self._pictures, self._masks = self._pictures[wanted:], self._masks[wanted:]
        return given


def drawn_here(
    name: str, direction: gseg.Direction, config: gseg.SampleConfig
) -> Generator[Shard, None, None]:
    """Draw shards in the thread that asks for them, while another one trains."""
    torch.set_num_threads(1)  # bits depend on it; a thread does not take it from its parent
    generator = gseg.load_generator(name)
    for number in itertools.count():
        yield draw_shard(generator, direction, config, number)


def drawn_by_actors(
    name: str, direction: gseg.Direction, config: gseg.SampleConfig, actors: int
) -> Generator[Shard, None, None]:
    """Have actors draw shards, each in its turn, those that come next beforehand."""
    # Ray starts a lost actor anew and asks it again for what it owed: the same shards.
    kind = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(Drawer)
    drawers: list[Any] = [kind.remote(name, direction, config) for _ in range(actors)]
    coming: deque[Any] = deque()
    asked = itertools.count()
    try:
        while True:
            while len(coming) <= AHEAD * actors:
                number = next(asked)
                coming.append(drawers[number % actors].draw.remote(number))
            yield ray.get(coming.popleft())
    finally:  # Ray reports whatever it is stopped in the middle of
        ray.wait(list(coming), num_returns=len(coming))


class Drawer:
    """An actor that draws shards."""

    def __init__(self, name: str, direction: gseg.Direction, config: gseg.SampleConfig) -> None:
        torch.set_num_threads(1)
        self._generator = gseg.load_generator(name)
        self._direction, self._config = direction, config

    def draw(self, number: int) -> Shard:
        """Draw one shard."""
        return draw_shard(self._generator, self._direction, self._config, number)


def train(name: str, training: FitConfig, actors: int) -> FitResult:
    """Find a generator's direction and train on what it draws.

    Args:
        name: Of the catalogue; `gseg generators` lists them.
        training: The training's settings; the order of the pairs is that in which they are drawn.
        actors: Processes that draw; 0 for a thread of this one.

    Returns:
        The segmenter and its loss curve.
    """
    torch.set_num_threads(1)
    training = replace(training, shuffle_window=1)
    generator = gseg.load_generator(name)
    direction = gseg.search_direction(generator, gseg.SearchConfig())
    config = gseg.SampleConfig()
    drawn = (
        drawn_by_actors(name, direction, config, actors)
        if actors
        else drawn_here(name, direction, config)
    )
    with closing(drawn) as shards:
        source = DrawnPairs(shards, training.steps * training.batch, generator.card.resolution)
        return fit_source(source, training)


def main() -> None:
    """Train, score on scenes with true masks, and keep the segmenter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--generator", default="sngan.scenes32", metavar="NAME", help="Default: sngan.scenes32")
    add("--actors", type=int, default=0, metavar="N", help="processes that draw. Default: none")
    add("--steps", type=int, default=100, metavar="N", help="steps of 32 pairs. Default: 100")
    add("--out", type=Path, default=Path("online.safetensors"), metavar="FILE")
    options = parser.parse_args()
    training = gseg.fit_preset("embedded").with_steps(options.steps)
    with ray_session(num_cpus=options.actors) if options.actors else nullcontext():
        trained = train(options.generator, training, options.actors)
    scores = gseg.score(trained.segmenter.probability, gseg.open_benchmark("scenes:200"))
    print(f"loss {trained.losses[0]:.3f} at first, {trained.losses[-1]:.3f} at last")
    print(f"IoU {scores.aggregates['voynov2021'].iou:.3f} on {scores.benchmark}")
    trained.segmenter.save(options.out)
    print(f"gseg segment --model {options.out} --out MASKS PICTURES uses the segmenter")


if __name__ == "__main__":
    main()
