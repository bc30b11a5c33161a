"""Drawing samples as plain data: shards of several sets at once, until each set has enough."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch

from gseg.directions.direction import Direction
from gseg.generators.catalogue import cached_generator, find_card, list_generators
from gseg.generators.contract import Generator
from gseg.pipeline.costs import draw_seconds, sample_bytes
from gseg.pipeline.jobs.job import Backend, Job, Listen
from gseg.pipeline.progress import Report
from gseg.samples.config import LatentConfig, SampleConfig
from gseg.samples.draw import draw_shards
from gseg.samples.sets import GrowingSet, check_acceptance
from gseg.samples.shards import DamagedShardError, Shard, shard_name
from gseg.storage.damage import put_aside
from gseg.storage.files import DiskFullError, format_bytes, write_atomically
from gseg.storage.manifests import is_whole, note_doubt, sealed
from gseg.storage.mirror import fetch
from gseg.storage.store import SHARD, Store, bring_here, note_build

# Most shards that are asked for before looking at the acceptance again.
_SHARDS_AT_ONCE: Final = 4096
# Acceptance to plan with before any is known; shards that turn out not to be needed are left.
_GUESS: Final = 0.25
# What is noted of the drawing of a shard.
_COSTS: Final = ("seconds", "forwards")


class BatchTooLargeError(ValueError):
    """Drawing a block needs more memory than there is; the message names the way out."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        super().__init__(
            f"Out of memory while drawing {batch} candidates at once. Give a smaller --batch (its "
            "samples are others), or leave the device more room."
        )

    def __reduce__(self) -> tuple[type["BatchTooLargeError"], tuple[int]]:
        return type(self), (self.batch,)  # by default it would be made again from its message


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
class DrawJob(Job[int]):
    """Drawing sample sets whose candidates are the same; its parts are shards.

    How many shards are needed depends on how many candidates are accepted: so there are some
    missing until all sets have enough.

    Attributes:
        generator: Catalogue name.
        orders: At least one; the first is the one that is waited for.
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

    def missing(self) -> list[int]:
        """Number the shards that are likely to be needed, at the acceptance so far.

        Raises:
            AcceptanceError: The filters of the first set reject nearly everything.
        """
        # Sets of one candidates' key share shards by number: what one needs is drawn for all.
        ranges = [known.missing(order.count, guess=_GUESS) for order, known in self.unfinished()]
        return sorted(set().union(*ranges))[:_SHARDS_AT_ONCE]

    def unfinished(self) -> list[tuple[DrawOrder, GrowingSet]]:
        """Look at the sets that have too few samples; hopeless ones are left to who waits for them.

        Raises:
            AcceptanceError: The filters of the first set reject nearly everything.
        """
        left = []
        for place, order in enumerate(self.orders):
            known = order.growing()
            if known.counts["accepted"] >= order.count:
                continue
            # The others' own trials will say so.
            if place == 0:
                check_acceptance(known.counts)
            if not known.is_hopeless:
                left.append((order, known))
        return left

    def size(self, part: int) -> int:
        """Count the candidates of a shard."""
        return self.shard_size

    def seconds(self, parts: Sequence[int]) -> float:
        """Estimate the drawing of all of them."""
        return draw_seconds(self.generator, len(parts) * self.shard_size, self.device)

    def useful(self, parts: Sequence[int]) -> int:
        """Count the shards that are needed whatever is accepted: others may be left."""
        # Even if all candidates are accepted, so many shards are needed.
        sure = (math.ceil(order.count / self.shard_size) for order, _ in self.unfinished())
        return min(len(parts), max(sure, default=1))

    def open(self) -> Callable[[int, Listen], int]:
        """Make ready to draw shards; each knows how many sets it was drawn for."""
        seen = [order.growing() for order in self.orders]

        def do(shard: int, listen: Listen) -> int:
            drawn = self.draw(shard, seen)
            if drawn:
                listen(self.shard_size)
            return drawn

        return do

    def load(self, shard: int) -> Shard:
        """Read a shard of the first set; one that was damaged on the disk is drawn again.

        Raises:
            DamagedShardError: It is damaged, and cannot be drawn here.
        """
        path = self.orders[0].folder / shard_name(shard)
        try:
            return Shard.load(path)
        except DamagedShardError as error:
            put_aside(path, error)
            if self.device.startswith("cuda") and not torch.cuda.is_available():
                raise
        # It follows from its number and the settings: drawn again, it is the same. With one thread,
        # as it was drawn; who reads samples to show them may have more.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            self.draw(shard)
        finally:
            torch.set_num_threads(threads)
        return Shard.load(path)

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
        known = zip(self.orders, seen or [order.growing() for order in self.orders], strict=True)
        orders = [order for order, mine in known if mine.update().needs(shard, order.count)]
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
            # The cost first: a shard that is there counts, whether its cost is known or not.
            told = sealed({**cost, "shard": _name(path)})
            write_atomically(cost_file(path), json.dumps(told).encode())
            each.save(path)
            note_build(order.folder.parents[1], SHARD, f"{order.folder.name}/{shard}")
        return len(orders)


def cost_file(shard: Path) -> Path:
    """Say where the cost of a shard stands; of what sets share, each bears the same part."""
    # Hidden from who reads the folder as one table.
    return shard.with_name(f"_{shard.stem}.cost")


def read_cost(shard: Path) -> Mapping[str, float]:
    """Read ``seconds`` and ``forwards``, the pictures that the generator made; NaN if unknown."""
    file = cost_file(shard)
    # Older versions gave it the shard's own name.
    there = next(filter(fetch, (file, shard.with_suffix(file.suffix))), None)
    try:
        told = json.loads(there.read_text()) if there else {}
        # Those of older versions say no more than the two.
        if (is_whole(told) and told["shard"] == _name(shard)) or told.keys() == set(_COSTS):
            found = {name: float(told[name]) for name in _COSTS}
            if all(0 <= each < math.inf for each in found.values()):
                return found
    except (ValueError, TypeError, KeyError, AttributeError):  # whatever it holds
        pass
    note_doubt("shards have no cost of their own beside them, which is left blank", file)
    return dict.fromkeys(_COSTS, math.nan)


def _name(shard: Path) -> str:
    return f"{shard.parent.name}/{shard.stem}"


# A sweep over λ and ε draws along many directions at once.
@lru_cache(maxsize=64)
def _cached_direction(folder: Path) -> Direction:
    return Direction.load(bring_here(folder))


def sampled_generator(name: str, device: str, latents: LatentConfig) -> Generator:
    """Load a generator, truncated if it does that by itself; bring the embeddings here."""
    if latents.embeddings:
        fetch(Path(latents.embeddings))
    if latents.truncation is None:
        return cached_generator(name, device)
    # A function of the user's own has no card in the catalogue, and truncates by its latents.
    itself = any(card.name == name and card.truncates for card in list_generators())
    return cached_generator(name, device, latents.truncation if itself else None)


_RESERVE: Final = 64 * 2**20


def draw_until_enough(
    store: Store, generator: str, orders: Sequence[DrawOrder], backend: Backend, report: Report
) -> None:
    """Ask for missing shards, as many as the acceptance so far says are needed.

    Args:
        store: Where the sets are.
        generator: Catalogue name.
        orders: Sets of the same candidates; the first is the one that is waited for.
        backend: Who draws.
        report: Hears of the accepted samples of all sets together.

    Raises:
        AcceptanceError: The filters of the first set reject nearly everything.
        BatchTooLargeError: There is not enough memory.
        DiskFullError: There is not enough space.
    """
    # Again and again: how many shards are needed is known when their acceptance is.
    job = DrawJob(generator=generator, orders=tuple(orders), device=backend.device)
    tell = _telling(orders, report)
    _check_space(store, job)
    while shards := job.missing():
        tell(0)
        backend.run(job, shards, tell)


def _check_space(store: Store, job: DrawJob) -> None:
    """Make sure that what is missing fits onto the disk, before anything is drawn."""
    side, free = find_card(job.generator).resolution, store.free_bytes()
    needed = sum(
        (order.count - known.counts["accepted"]) * sample_bytes(side, order.config.picture_format)
        for order, known in job.unfinished()
    )
    if needed + _RESERVE > free:
        raise DiskFullError(
            f"The samples need {format_bytes(needed)}, and {format_bytes(_RESERVE)} for what "
            f"comes with them, but the disk of {store.root} has {format_bytes(free)} left. Make "
            "room there, or choose another --storage or a smaller --data-size."
        )


def _telling(orders: Sequence[DrawOrder], report: Report) -> Listen:
    """Tell a report how many samples there are, how fast they come and how many are accepted."""
    sets, total = [order.growing() for order in orders], sum(order.count for order in orders)

    def done() -> int:
        counts = zip(sets, orders, strict=True)
        return sum(min(known.counts["accepted"], order.count) for known, order in counts)

    begun, first = time.monotonic(), done()

    def tell(drawn: int) -> None:
        counts = [each.update().counts for each in sets]
        candidates, accepted = (sum(c[name] for c in counts) for name in ("candidates", "accepted"))
        detail = f"{accepted / candidates:.0%} accepted" if candidates else ""
        new, seconds = done() - first, time.monotonic() - begun
        if new > 0 and seconds > 0:
            left = math.ceil((total - done()) * seconds / new)
            detail += f", {new / seconds:,.0f}/s, {left:,} s left"
        report("samples", done(), total, detail)

    return tell
