"""The stage that draws samples: a growing set of shards, shared by all data sizes."""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from gseg.generators.identity import weights_digest
from gseg.generators.precision import sampling_setting
from gseg.pipeline.costs import generator_size, sample_bytes, sampling_seconds
from gseg.pipeline.jobs.draw import BatchTooLargeError, DrawJob, DrawOrder, read_cost
from gseg.pipeline.jobs.fit import Pairs
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.progress import Report
from gseg.pipeline.stages.growth import draw_until_enough
from gseg.samples import GrowingSet, SampleConfig, shard_name
from gseg.storage.leases import lease
from gseg.storage.mirror import fetch
from gseg.storage.store import (
    Artifact,
    Cost,
    Store,
    canonical,
    digest,
    write_atomically,
)

_log = logging.getLogger(__name__)

_VERSION: Final = 1
_SMALLER: Final = "smaller_batch.json"
"""Left in the folder of a set whose batch does not fit into memory: which batch to take instead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A sample set that somebody needs.

    Attributes:
        direction: From `make_direction`.
        config: How to draw.
        count: Samples needed.
    """

    direction: Artifact
    config: SampleConfig
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledSet:
    """The first N accepted samples on disk.

    Attributes:
        digest: Name of the sample set, whatever its size.
        config: How they were drawn: as asked for, or in a smaller batch that fits into memory.
        pairs: How to load them.
        counts: Candidates, accepted and rejected by reason over the shards they come from.
        seconds: Time that drawing those shards took, whenever that was.
        forwards: Pictures that the generator made for them; of what was drawn together with
            other sets, the same part for each.
        reused: Whether all of them were found.
    """

    digest: str
    config: SampleConfig
    pairs: Pairs
    counts: Mapping[str, int]
    seconds: float
    forwards: float
    reused: bool


def make_samples(
    store: Store,
    generator: str,
    wanted: Wanted,
    backend: Backend,
    report: Report,
    *,
    together: Callable[[], Sequence[Wanted]] = tuple,
) -> SampledSet:
    """Draw shards until there are enough accepted samples.

    The set's name leaves the count out: a larger set is the same one with more shards.

    Args:
        store: Where the shards are or will be.
        generator: Catalogue name.
        wanted: What to draw.
        backend: Who draws.
        report: Hears of the accepted samples.
        together: Asked, when there is something to draw, for sets that will be needed as well.
            Those of the same candidates that are unfinished, and that nobody else is at, are
            drawn in the same pass: they share G(z).

    Returns:
        The samples.

    Raises:
        AcceptanceError: The filters reject nearly everything.
        BatchTooLargeError: There is not enough memory to go on with the set.
        NotMadeError: There are not enough and the store is read-only.
        StorageError: There is not enough space.
    """
    return _SampleStage(store, generator, backend, report).make(wanted, together)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Set:
    """A wanted set and its name in the store."""

    digest: str
    read_only: bool
    settings: Mapping[str, Any]
    parents: Sequence[str]
    order: DrawOrder

    def found(self, *, reused: bool) -> SampledSet | None:
        """Take as many shards as hold the samples; None if there are too few."""
        order = self.order
        used = self._look()
        while used.counts["accepted"] < order.count:
            if not used.step():
                return None
        costs = [read_cost(path) for path in used.shards]
        redraw = DrawJob(
            generator=self.settings["generator"], orders=(order,), device=self.settings["device"]
        )
        return SampledSet(
            digest=self.digest,
            config=order.config,
            pairs=Pairs(count=order.count, shards=tuple(used.shards), redraw=redraw),
            counts=used.counts,
            seconds=sum(cost["seconds"] for cost in costs),
            forwards=sum(cost["forwards"] for cost in costs),
            reused=reused,
        )

    def cost(self) -> Cost:
        """Estimate what is left to draw, at the acceptance so far."""
        order, known = self.order, self._look().update()
        generator = self.settings["generator"]
        left = order.count - known.counts["accepted"]
        size = sample_bytes(generator_size(generator).resolution, order.config.picture_format)
        device = self.settings["device"]
        return Cost(
            seconds=sampling_seconds(generator, left, known.acceptance, device),
            disk_bytes=round(left * size),
        )

    def _look(self) -> GrowingSet:
        order = self.order
        return GrowingSet(order.folder, order.config.shard_size, read_only=self.read_only)

    def to_come(self) -> SampledSet:
        """Stand in for the samples in a plan."""
        order = self.order
        side = generator_size(self.settings["generator"]).resolution
        shards = (order.folder / shard_name(0),)
        return SampledSet(
            digest=self.digest,
            config=order.config,
            pairs=Pairs(count=order.count, shards=shards, drawn=side),
            counts={},
            seconds=0.0,
            forwards=0.0,
            reused=False,
        )

    def is_complete(self) -> bool:
        return self.order.growing().counts["accepted"] >= self.order.count


class _SampleStage:
    def __init__(self, store: Store, generator: str, backend: Backend, report: Report) -> None:
        self._store, self._generator = store, generator
        self._backend, self._report = backend, report

    def make(self, wanted: Wanted, together: Callable[[], Sequence[Wanted]]) -> SampledSet:
        mine = self._name(wanted)
        found = mine.found(reused=True)
        if found is not None:
            return found
        if self._store.read_only:
            self._store.lacks("samples", mine.digest, mine.cost)
            return mine.to_come()
        with lease(mine.order.folder, unless=mine.is_complete) as held:
            fits = not held or self._draw(mine, self._others(mine, together()))
        if not fits:
            return self.make(wanted, together)  # under the name of the smaller batch
        found = mine.found(reused=not held)
        assert found is not None
        return found

    def _name(self, wanted: Wanted) -> _Set:
        """Name a set, or the one in a smaller batch that takes its place."""
        config = wanted.config
        parents = [weights_digest(self._generator), wanted.direction.digest]
        while True:
            settings = {
                "generator": self._generator,
                "samples": canonical(config),
                "device": self._backend.device,
                "forward": canonical(sampling_setting(self._backend.device)),
            }
            name = digest("samples", _VERSION, settings, parents)
            folder = self._store.folder("samples", name)
            smaller = folder / _SMALLER
            if not fetch(smaller):
                break
            config = replace(config, **json.loads(smaller.read_text()))
        order = DrawOrder(
            direction=wanted.direction.folder, config=config, folder=folder, count=wanted.count
        )
        return _Set(
            digest=name,
            read_only=self._store.read_only,
            settings=settings,
            parents=parents,
            order=order,
        )

    def _others(self, mine: _Set, together: Sequence[Wanted]) -> list[_Set]:
        """Pick the sets that can be drawn along."""
        others: dict[str, _Set] = {}
        for wanted in together:
            other = self._name(wanted)
            known = others.get(other.digest, other)
            if known.order.count > other.order.count:
                other = known
            if (
                other.digest != mine.digest
                and other.order.config.candidates_key == mine.order.config.candidates_key
                and not other.is_complete()
            ):
                others[other.digest] = other
        return list(others.values())

    def _draw(self, mine: _Set, others: Sequence[_Set]) -> bool:
        """Draw a set and others along with it; False if its batch does not fit into memory."""
        with ExitStack() as leases:
            joined = [mine]
            for other in others:
                # One look at who holds it, and one after a dead holder's lease is gone.
                looks = iter((False, True))
                held = lease(other.order.folder, unless=lambda n=looks: next(n, True), poll=0.0)  # type: ignore[misc]
                if leases.enter_context(held):
                    joined.append(other)
            try:
                self._draw_until_enough(joined)
                return True
            except BatchTooLargeError:
                if len(joined) == 1:
                    self._halve(mine)
                    return False
        return self._draw(mine, [])

    def _halve(self, mine: _Set) -> None:
        """Note which batch to take instead, unless samples are kept already."""
        config, folder = mine.order.config, mine.order.folder
        if mine.order.growing().shards or config.batch == 1:
            raise BatchTooLargeError(config.batch)
        batch = config.batch // 2
        blocks = math.ceil(config.shard_size / batch)
        _log.warning(
            "Out of memory with %d candidates at once: drawing %d at once, under another name.",
            config.batch,
            batch,
        )
        smaller = {"batch": batch, "blocks_per_shard": blocks}
        write_atomically(folder / _SMALLER, json.dumps(smaller).encode())

    def _draw_until_enough(self, joined: Sequence[_Set]) -> None:
        for each in joined:
            about = {"config": each.settings, "parents": each.parents}
            # The config names embeddings by their content alone; this is where to look for them.
            if each.order.config.latents.embeddings:
                about["embeddings"] = each.order.config.latents.embeddings
            write_atomically(each.order.folder / "about.json", json.dumps(about, indent=1).encode())
        orders = [each.order for each in joined]
        draw_until_enough(self._store, self._generator, orders, self._backend, self._report)
