"""The stage that draws samples: a growing set of shards, shared by all data sizes."""

import json
import logging
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from gseg.generators.catalogue import find_card
from gseg.generators.contract import sampling_setting
from gseg.generators.weights import weights_digest
from gseg.pipeline.costs import sample_bytes, sampling_seconds
from gseg.pipeline.graph import Node, Stage, Workshop, read_about
from gseg.pipeline.jobs import draw
from gseg.pipeline.jobs.train import Pairs
from gseg.pipeline.stages.pictures import EMBEDDINGS, EmbeddingsNode, with_file
from gseg.samples.config import SampleConfig
from gseg.samples.sets import GrowingSet
from gseg.samples.shards import Shard, shard_name
from gseg.storage.damage import DamagedError, put_aside
from gseg.storage.digests import canonical
from gseg.storage.files import write_atomically
from gseg.storage.leases import lease
from gseg.storage.manifests import ABOUT, fetch_about, sealed
from gseg.storage.mirror import StorageError, describe, exists, fetch
from gseg.storage.store import Artifact, Cost

_log = logging.getLogger(__name__)

# Left in the folder of a set whose batch does not fit into memory: which batch to take instead.
_SMALLER: Final = "smaller_batch.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class SampledSet:
    """Samples on disk.

    Attributes:
        config: How they were drawn: as asked for, or in a smaller batch that fits into memory.
        pairs: How to load them.
        counts: Candidates, accepted and rejected by reason over the shards they come from.
        seconds: Time that making them took, whenever that was; NaN if it is not known.
        forwards: Pictures that the generator made for them; of what was drawn together with
            other sets, the same part for each. NaN if that is not known.
        reused: Whether all of them were found.
    """

    config: SampleConfig
    pairs: Pairs
    counts: Mapping[str, int]
    seconds: float
    forwards: float
    reused: bool


class SampleNode(Node[Any]):
    """A node whose output is samples: drawn, selected among the drawn ones, or relabelled."""

    count: int
    """How many."""

    @property
    @abstractmethod
    def side(self) -> int:
        """Of the pictures, in pixels."""

    @abstractmethod
    def sampled(self, shop: Workshop) -> SampledSet:
        """Give the samples, which have been made."""

    @abstractmethod
    def chosen_threshold(self, shop: Workshop) -> str:
        """Say which threshold was chosen for the masks that were drawn; empty for none."""

    def agreement(self, shop: Workshop) -> Mapping[str, float | None]:
        """Say how far their masks agree with those that they were drawn with."""
        return {}


@dataclass(frozen=True, kw_only=True)
class SamplesNode(SampleNode, Node[SampledSet]):
    """The first accepted samples of a set.

    The set's name leaves their number out: a larger set is the same one with more shards. It is
    drawn in a loop of its own, until there are enough.

    Attributes:
        generator: Catalogue name.
        direction: Node of what the latents are shifted along; with colour maps, if the masks need
            them.
        samples: How to draw.
        count: Samples needed.
        embeddings: Node of what latents lie near, unless that is in a file.
    """

    stage: ClassVar[str] = "samples"
    word: ClassVar[str] = "sample set"

    generator: str
    direction: Node[Artifact]
    samples: SampleConfig
    count: int
    embeddings: EmbeddingsNode | None = None

    @property
    def side(self) -> int:
        return find_card(self.generator).resolution

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        """Give the settings that name it; what the device does to samples is among them."""
        return {
            "generator": self.generator,
            "samples": canonical(self.samples),
            "device": self.device,
            "forward": canonical(sampling_setting(self.device)),
        }

    def settings(self, shop: Workshop) -> Mapping[str, Any]:
        return self.config(shop)

    def parents(self, shop: Workshop) -> Sequence[Node[Any] | str]:
        made = [self.direction, *([self.embeddings] if self.embeddings else [])]
        return [weights_digest(self.generator), *made]

    def resolved(self, shop: Workshop) -> "SamplesNode":
        """Give the node itself, or the one in a smaller batch that takes its place."""
        node = self
        # More than once where half the batch was too large as well.
        while fetch(file := node._own_folder(shop) / _SMALLER):
            halved = _halved(node.samples)
            if not _asks_for(file, halved):
                what = f"{describe(file)} is damaged, or belongs to other samples: in place of "
                what += f"{file.parent.name} it can only ask for a batch of {halved.batch}."
                put_aside(file, what, read_only=shop.store.read_only)
                break
            node = replace(node, samples=halved)
        return node

    def name(self, shop: Workshop) -> str:
        return self.resolved(shop)._own_folder(shop).name

    def sampled(self, shop: Workshop) -> SampledSet:
        made: SampledSet = shop.make(self)
        return made

    def chosen_threshold(self, shop: Workshop) -> str:
        asked = self.samples.mask_threshold == "choose"
        # Looked for, not made: samples are complete without it.
        direction = shop.find(self.direction) if asked else None
        return "" if direction is None else direction.facts["chosen"]

    def find(self, shop: Workshop) -> SampledSet | None:
        """Take as many shards as hold the samples; None if there are too few."""
        return self.resolved(shop)._found(shop, reused=True)

    def cost(self, shop: Workshop) -> Cost:
        """Estimate what is left to draw, at the acceptance so far."""
        mine = self.resolved(shop)
        known = mine._look(shop).update()
        left = self.count - known.counts["accepted"]
        # Bytes are those of what is accepted; the rejected are not kept.
        size = sample_bytes(self.side, self.samples.picture_format)
        return Cost(
            seconds=sampling_seconds(self.generator, left, known.acceptance, self.device),
            disk_bytes=round(left * size),
        )

    def make(self, shop: Workshop) -> SampledSet:
        """Draw shards until there are enough accepted samples.

        Sets of the same candidates that will be needed as well (`Workshop.together`), that are
        unfinished and that nobody else is at, are drawn in the same pass: they share G(z).

        Raises:
            AcceptanceError: The filters reject nearly everything.
            BatchTooLargeError: There is not enough memory to go on with the set.
            StorageError: There is not enough space.
        """
        shop.rename(self)  # somebody may have found that its batch is too large
        mine = self.resolved(shop)
        found = mine._found(shop, reused=True)
        if found is not None:
            return found
        with lease(mine._own_folder(shop), unless=lambda: mine._is_complete(shop)) as held:
            fits = not held or mine._draw(shop, mine._others(shop))
        if not fits:
            return self.make(shop)  # under the name of the smaller batch
        found = mine._found(shop, reused=not held)
        assert found is not None
        return found

    def _own_folder(self, shop: Workshop) -> Path:
        """Say where these settings' shards go, whatever set may have taken their place."""
        return shop.store.folder(self.stage, Node.name(self, shop))

    def _order(self, shop: Workshop) -> draw.DrawOrder:
        config, folder = self.samples, self._own_folder(shop)
        if self.embeddings is not None:
            file = shop.folder(self.embeddings) / EMBEDDINGS
            if fetch(file):  # or else nothing can be drawn, but what is drawn can be read
                config = replace(config, latents=with_file(config.latents, file))
        direction = shop.folder(self.direction)
        return draw.DrawOrder(direction=direction, config=config, folder=folder, count=self.count)

    def _look(self, shop: Workshop) -> GrowingSet:
        folder, read_only = self._own_folder(shop), shop.store.read_only
        return GrowingSet(folder, self.samples.shard_size, read_only=read_only)

    def _is_complete(self, shop: Workshop) -> bool:
        return self._look(shop).update().counts["accepted"] >= self.count

    def _found(self, shop: Workshop, *, reused: bool) -> SampledSet | None:
        # Shard by shard: a larger set that is there gives a smaller one just what it needs.
        used = self._look(shop)
        while used.counts["accepted"] < self.count:
            if not used.step():
                return None
        if not self._is_told(shop):
            return None
        costs = [draw.read_cost(path) for path in used.shards]
        order = self._order(shop)
        redraw = draw.DrawJob(generator=self.generator, orders=(order,), device=self.device)
        return SampledSet(
            config=order.config,
            pairs=Pairs(count=self.count, shards=tuple(used.shards), redraw=redraw),
            counts=used.counts,
            seconds=sum(cost["seconds"] for cost in costs),
            forwards=sum(cost["forwards"] for cost in costs),
            reused=reused,
        )

    def _is_told(self, shop: Workshop) -> bool:
        """Say whether the set says what it is; where that may be written, it does so then."""
        read_only = shop.store.read_only
        if file := fetch_about(self._own_folder(shop)):
            try:
                read_about(file)
                return True
            except DamagedError as error:
                put_aside(file, error, read_only=read_only)
        if not read_only:
            self._tell(shop)
        return not read_only

    def _tell(self, shop: Workshop) -> None:
        """Write what the set says of itself."""
        about = {"config": shop.settings(self), "parents": shop.names(self)}
        # The config names embeddings by their content alone; this is where to look for them.
        if self.samples.latents.embeddings:
            about["embeddings"] = self.samples.latents.embeddings
        file = self._own_folder(shop) / ABOUT
        write_atomically(file, json.dumps(about, indent=1).encode())

    def _others(self, shop: Workshop) -> "list[SamplesNode]":
        """Pick the sets that can be drawn along."""
        others: dict[str, SamplesNode] = {}
        for wanted in shop.together():
            assert isinstance(wanted, SamplesNode)
            try:
                for parent in shop.parents(wanted):
                    if not isinstance(parent, str):
                        shop.make(parent)
                other = wanted.resolved(shop)
            except StorageError:  # a ValueError, but everybody's
                raise
            except ValueError:  # a sibling's own fault, which its own trial will tell of
                _log.info("No samples for a sibling.", exc_info=True)
                continue
            name = shop.name(other)
            # Siblings that differ in size alone are the same set: the largest serves all.
            if name in others and others[name].count > other.count:
                other = others[name]
            if (
                name != shop.name(self)
                and other.samples.candidates_key == self.samples.candidates_key
                and not other._is_complete(shop)
            ):
                others[name] = other
        return list(others.values())

    def _draw(self, shop: Workshop, others: "Sequence[SamplesNode]") -> bool:
        """Draw a set and others along with it; False if its batch does not fit into memory."""
        with ExitStack() as leases:
            joined = [self]
            for other in others:
                # One look at who holds it, and one after a dead holder's lease is gone.
                looks = iter((False, True))
                folder = other._own_folder(shop)
                held = lease(folder, unless=lambda n=looks: next(n, True), poll=0.0)  # type: ignore[misc]
                if leases.enter_context(held):
                    joined.append(other)
            try:
                self._draw_until_enough(shop, joined)
                return True
            except draw.BatchTooLargeError:
                if len(joined) == 1:
                    self._halve(shop)
                    return False
        return self._draw(shop, [])  # alone: what was drawn along needs memory, too

    def _halve(self, shop: Workshop) -> None:
        """Note which batch to take instead, unless samples are kept already."""
        config = self.samples
        if self._look(shop).update().shards or config.batch == 1:
            raise draw.BatchTooLargeError(config.batch)
        halved, folder = _halved(config), self._own_folder(shop)
        _log.warning(
            "Out of memory with %d candidates at once: drawing %d at once, under another name.",
            config.batch,
            halved.batch,
        )
        told = sealed({**_batch(halved), "set": folder.name})
        write_atomically(folder / _SMALLER, json.dumps(told).encode())

    def _draw_until_enough(self, shop: Workshop, joined: "Sequence[SamplesNode]") -> None:
        orders = [each._order(shop) for each in joined]
        for each in joined:
            each._tell(shop)
        draw.draw_until_enough(shop.store, self.generator, orders, shop.backend, shop.report)


def _halved(config: SampleConfig) -> SampleConfig:
    """Give the settings that take the place of a batch that does not fit into memory."""
    batch = max(config.batch // 2, 1)
    return replace(config, batch=batch, blocks_per_shard=math.ceil(config.shard_size / batch))


def _batch(config: SampleConfig) -> dict[str, int]:
    return {"batch": config.batch, "blocks_per_shard": config.blocks_per_shard}


def _asks_for(file: Path, halved: SampleConfig) -> bool:
    """Say whether a set asks for the smaller batch that takes its batch's place."""
    wanted = _batch(halved)
    try:
        told = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):  # put aside this moment, or whatever it holds
        return False
    # Those of older versions do not say whose they are.
    if told not in (wanted, sealed({**wanted, "set": file.parent.name})):
        return False
    return not exists(file.with_name(shard_name(0)))  # a set that has samples keeps its batch


@dataclass(frozen=True, kw_only=True)
class DerivedNode(SampleNode, Stage):
    """Samples that a stage makes of drawn ones, shard by shard.

    Attributes:
        source: Samples that it starts from.
    """

    source: SampleNode

    @property
    def side(self) -> int:
        return self.source.side

    def parents(self, shop: Workshop) -> Sequence[Node[Any] | str]:
        return [self.source]

    def chosen_threshold(self, shop: Workshop) -> str:
        return self.source.chosen_threshold(shop)

    def sampled(self, shop: Workshop) -> SampledSet:
        """Give the samples, which have been made, with the counts of the drawn ones."""
        made, drawn = shop.make(self), self.source.sampled(shop)
        numbers = range(len(drawn.pairs.shards))
        shards = tuple(made.folder / shard_name(number) for number in numbers)
        return replace(
            drawn,
            pairs=Pairs(count=self.count, shards=shards),
            seconds=drawn.seconds + made.seconds,
            reused=drawn.reused and made.reused,
        )


def first_shards(pairs: Pairs) -> Iterator[Shard]:
    """Read the shards of samples, the last one as far as it is asked for."""
    left = pairs.count
    for shard in map(pairs.load_shard, range(len(pairs.shards))):
        yield rows_of(shard, torch.arange(min(left, len(shard))))
        left -= len(shard)


def rows_of(shard: Shard, rows: Tensor) -> Shard:
    """Keep samples of a shard.

    Args:
        shard: The shard.
        rows: Their places in it.
    """
    return replace(
        shard,
        indices=shard.indices[rows],
        labels=None if shard.labels is None else shard.labels[rows],
        pictures=shard.pictures[rows],
        masks=shard.masks[rows],
        statistics={name: values[rows] for name, values in shard.statistics.items()},
    )
