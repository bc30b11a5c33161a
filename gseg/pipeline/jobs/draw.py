"""Drawing samples as plain data: what a process anywhere needs to draw a shard of several sets."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from gseg.directions import Direction
from gseg.generators import Generator, list_generators, load_generator
from gseg.samples import GrowingSet, LatentConfig, SampleConfig, draw_shards, shard_name
from gseg.samples.latents import truncates_itself
from gseg.storage.builds import SHARD, note_build
from gseg.storage.mirror import fetch
from gseg.storage.store import bring_here, write_atomically


class BatchTooLargeError(ValueError):
    """Drawing a block needs more memory than there is; the message names the way out."""

    def __init__(self, batch: int) -> None:
        super().__init__(
            f"Out of memory while drawing {batch} candidates at once. Give a smaller --batch (its "
            "samples are others), or leave the device more room."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawOrder:
    """One sample set that is wanted.

    Attributes:
        direction: Folder of the direction.
        config: How to draw.
        folder: Where shards go.
        count: Samples needed.
    """

    direction: Path
    config: SampleConfig
    folder: Path
    count: int

    def growing(self) -> GrowingSet:
        """Look at the shards that are there."""
        return GrowingSet(self.folder, self.config.shard_size).update()


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawJob:
    """Drawing shards of sample sets whose candidates are the same.

    Attributes:
        generator: Catalogue name.
        orders: At least one.
        device: Kind of device.
        cores: Of the process that draws on a GPU, where others share the machine; None for all.
    """

    generator: str
    orders: tuple[DrawOrder, ...]
    device: str = "cpu"
    cores: int | None = None

    @property
    def shard_size(self) -> int:
        """Candidates in a shard."""
        return self.orders[0].config.shard_size

    def draw(self, shard: int, seen: Sequence[GrowingSet] | None = None) -> int:
        """Draw one shard of every set that needs it, and write each whole or not at all.

        Args:
            shard: Its number.
            seen: What is known of the sets, in their order, for a process that draws many.

        Returns:
            Number of sets that it was drawn for.

        Raises:
            BatchTooLargeError: There is not enough memory.
        """
        seen = seen or [order.growing() for order in self.orders]
        orders = [
            order
            for order, known in zip(self.orders, seen, strict=True)
            if known.update().needs(shard, order.count)
        ]
        if not orders:
            return 0
        started = time.monotonic()
        requests = [(_cached_direction(order.direction), order.config) for order in orders]
        generator = sampled_generator(self.generator, self.device, orders[0].config.latents)
        try:
            drawn = draw_shards(generator, requests, shard, cores=self.cores)
        except (torch.OutOfMemoryError, MemoryError) as error:
            torch.cuda.empty_cache()  # does nothing where there is no GPU
            raise BatchTooLargeError(orders[0].config.batch) from error
        cost = {
            "seconds": round((time.monotonic() - started) / len(orders), 4),
            "forwards": drawn.forwards / len(orders),
        }
        for order, each in zip(orders, drawn.shards, strict=True):
            path = order.folder / shard_name(shard)
            write_atomically(cost_file(path), json.dumps(cost).encode())
            each.save(path)
            note_build(order.folder.parents[1], SHARD, f"{order.folder.name}/{shard}")
        return len(orders)


def draw_here(job: DrawJob, shards: Sequence[int], listen: Callable[[], None]) -> None:
    """Draw shards one after the other in this process, see `gseg.pipeline.jobs.fit.Backend`."""
    seen = [order.growing() for order in job.orders]
    for shard in shards:
        if job.draw(shard, seen):
            listen()


def cost_file(shard: Path) -> Path:
    """Say where the cost of a shard stands; of what sets share, each bears the same part."""
    return shard.with_suffix(".cost")


def read_cost(shard: Path) -> Mapping[str, float]:
    """Read ``seconds`` and ``forwards``, the pictures that the generator made; 0 if unknown."""
    fetch(cost_file(shard))
    try:
        found: dict[str, Any] = json.loads(cost_file(shard).read_text())
    except FileNotFoundError:
        found = {}
    return {"seconds": 0.0, "forwards": 0.0, **found}


@lru_cache(maxsize=2)
def cached_generator(name: str, device: str, truncation: float | None = None) -> Generator:
    """Load a generator once for each process."""
    return load_generator(name, device=device, truncation=truncation)


@lru_cache(maxsize=64)
def _cached_direction(folder: Path) -> Direction:
    return Direction.load(bring_here(folder))


def sampled_generator(name: str, device: str, latents: LatentConfig) -> Generator:
    """Load a generator, truncated if it does that by itself."""
    if latents.truncation is None:
        return cached_generator(name, device)
    itself = any(card.name == name and truncates_itself(card) for card in list_generators())
    return cached_generator(name, device, latents.truncation if itself else None)
