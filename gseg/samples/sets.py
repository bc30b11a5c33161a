"""Sets of samples: the first N accepted ones over shards 0, 1, 2, ...

So a larger set extends a smaller one, and every trial on the same samples shares the shards; on
disk, anyone may be adding to them (`GrowingSet`). Or the N that look most like given pictures.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.arrays import check_finite
from gseg.exactness import exact
from gseg.samples.config import REASONS
from gseg.samples.shards import SampleSet, Shard, ShardFacts, find_facts, shard_name
from gseg.storage.mirror import exists

_PATIENCE: Final = 10_000
_LEAST_ACCEPTANCE: Final = 0.01
# Pictures whose similarities are computed at once.
_ROWS: Final = 4096

_Shard = TypeVar("_Shard", Shard, ShardFacts)


class AcceptanceError(ValueError):
    """The filters reject nearly everything; the message gives the counts."""


def load_samples(shard_paths: Iterable[str | Path], count: int) -> SampleSet:
    """Read the first N samples from shard files.

    Args:
        shard_paths: Files of shards 0, 1, 2, ... in this order; those beyond need are not read.
        count: Number N of samples.

    Raises:
        ValueError: The shards hold fewer samples, are out of order or do not belong together.
        DamagedShardError: A file is damaged.
    """
    return first_samples((Shard.load(Path(path)) for path in shard_paths), count)


def first_samples(shards: Iterable[Shard], count: int) -> SampleSet:
    """Take the first N samples, holding the pictures of one shard besides them at a time.

    Args:
        shards: Shards 0, 1, 2, ...; taken one after the other until there are enough samples.
        count: Number N of samples.

    Returns:
        In memory the channels of a picture's pixel are neighbours.

    Raises:
        ValueError: There are fewer, or the shards are out of order or do not belong together.
        DamagedShardError: A file is damaged.
    """
    if count < 1:
        raise ValueError(f"A sample set holds at least 1 sample, asked for {count}.")
    used: list[Shard] = []
    done = 0
    for shard in in_order(shards):
        if not used:
            side = shard.masks.shape[1]
            pictures = torch.empty((count, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
            masks = torch.empty((count, side, side), dtype=torch.bool)
        taken = min(len(shard), count - done)
        pictures[done : done + taken] = shard.pictures[:taken]
        masks[done : done + taken] = shard.masks[:taken]
        done += len(shard)
        used.append(replace(shard, pictures=pictures[:0], masks=masks[:0]))
        if done >= count:
            return replace(join(used, count), pictures=pictures, masks=masks)
    raise ValueError(
        f"{len(used)} shards hold {done} accepted samples, asked for {count}: draw more."
    )


def in_order(shards: Iterable[_Shard]) -> Iterator[_Shard]:
    """Hand shards on one after the other while they are 0, 1, 2, ... of one set.

    Raises:
        ValueError: One is out of order or was drawn with other settings than the first.
    """
    provenance = None
    for number, shard in enumerate(shards):
        if shard.number != number:
            raise ValueError(f"Expected shard {number} next, got shard {shard.number}.")
        provenance = shard.provenance if provenance is None else provenance
        if shard.provenance != provenance:
            raise ValueError(
                f"Shard {number} was drawn with other settings than shard 0: "
                f"{dict(shard.provenance)}, expected {dict(provenance)}."
            )
        yield shard


def join(parts: Sequence[SampleSet], count: int | None = None) -> SampleSet:
    """Put samples behind one another, in new tensors.

    Args:
        parts: At least one; all with labels or all without, and with the same statistics.
        count: How many to keep from the start; None for all. The counts are sums of all parts'.
    """
    labels = [part.labels for part in parts if part.labels is not None]
    return SampleSet(
        indices=torch.cat([part.indices for part in parts])[:count],
        labels=torch.cat(labels)[:count] if labels else None,
        pictures=torch.cat([part.pictures for part in parts])[:count],
        masks=torch.cat([part.masks for part in parts])[:count],
        statistics={
            name: torch.cat([part.statistics[name] for part in parts])[:count]
            for name in parts[0].statistics
        },
        counts=sum_counts(part.counts for part in parts),
    )


def sum_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Add counts of candidates, accepted and rejected up; the order of the keys is kept."""
    totals: dict[str, int] = {}
    for each in counts:
        for name, number in each.items():
            totals[name] = totals.get(name, 0) + number
    return totals


def check_acceptance(counts: Mapping[str, int]) -> None:
    """Give up where the filters reject nearly everything.

    Args:
        counts: Sums over shards 0, 1, 2, ... up to any of them.

    Raises:
        AcceptanceError: Under 1 % of at least 10,000 candidates were accepted.
    """
    if not _is_hopeless(counts):
        return
    reasons = ", ".join(f"{name} {counts[name]:,}" for name in REASONS if counts.get(name))
    raise AcceptanceError(
        f"Only {counts['accepted']:,} of {counts['candidates']:,} candidates were accepted; "
        f"rejected by {reasons}. Look at the direction's contact sheet, or change epsilon or the "
        "filters."
    )


def _is_hopeless(counts: Mapping[str, int]) -> bool:
    candidates = counts["candidates"]
    return candidates >= _PATIENCE and counts["accepted"] < _LEAST_ACCEPTANCE * candidates


class GrowingSet:
    """What is known of a set on disk from its shards up to the first gap.

    Args:
        folder: Where the shards are; may be absent.
        shard_size: Candidates in a shard.
        read_only: Leave damaged shards where they are; they count as missing all the same.
    """

    def __init__(self, folder: Path, shard_size: int, *, read_only: bool = False) -> None:
        self.folder, self._size, self._read_only = folder, shard_size, read_only
        self.shards: list[Path] = []
        self.counts: Mapping[str, int] = {"candidates": 0, "accepted": 0}

    def update(self) -> "GrowingSet":
        """Look for shards that have come since; shards that are known are not read again."""
        while self.step():
            pass
        return self

    def step(self) -> bool:
        """Look for the next shard; False if it is not there, or was damaged and is put aside."""
        path = self.folder / shard_name(len(self.shards))
        facts = find_facts(path, read_only=self._read_only)
        if facts is None:
            return False
        self.counts = sum_counts([self.counts, facts.counts])
        self.shards.append(path)
        return True

    @property
    def acceptance(self) -> float | None:
        """Share of candidates that were accepted; None before the first one was."""
        accepted = self.counts["accepted"]
        return accepted / self.counts["candidates"] if accepted else None

    @property
    def is_hopeless(self) -> bool:
        """Whether the filters reject nearly everything; see `check_acceptance`."""
        return _is_hopeless(self.counts)

    def needs(self, shard: int, count: int) -> bool:
        """Say whether a shard has to be drawn for the first samples.

        Not if it is there, nor if those before it hold enough at the acceptance so far, nor if
        the set is hopeless.

        Args:
            shard: Its number.
            count: Samples needed.
        """
        known = len(self.shards)
        if shard < known or self.counts["accepted"] >= count or self.is_hopeless:
            return False
        if exists(self.folder / shard_name(shard)):
            return False
        # Nothing is known before the first shard: then all candidates may be accepted.
        rate = self.acceptance if known else 1.0
        # Of a set that has accepted nothing so far, every shard may be the first to.
        expected = self.counts["accepted"] + (rate or 0.0) * self._size * (shard - known)
        return expected < count

    def missing(self, count: int, *, guess: float) -> range:
        """Number the shards that are likely to be needed.

        Args:
            count: Samples needed.
            guess: Acceptance to plan with before any is known.

        Returns:
            Consecutive numbers from the first gap on; empty if there are enough.
        """
        left = max(count - self.counts["accepted"], 0)
        shards = math.ceil(left / ((self.acceptance or guess) * self._size))
        return range(len(self.shards), len(self.shards) + shards)


@exact()
def similarities(generated: Tensor, real: Tensor) -> Tensor:
    """Measure how near each generated picture is to the nearest real one.

    Melas-Kyriazi et al. 2022, B.4, train on the 50,000 of a million generated pictures that are
    nearest to labelled real ones, by the cosine similarity of a self-supervised ResNet-50's
    features.

    Args:
        generated: (M, D) features.
        real: (R, D) features of the same network, at least one.

    Returns:
        (M,) float32 in [-1, 1], the largest cosine similarity. Features that are all zero have
        similarity 0 to everything.

    Raises:
        ValueError: The features do not go together, or there are no real ones.
    """
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1]:
        raise ValueError(
            "Similarities need features (M, D) and (R, D) of one network, got "
            f"{tuple(generated.shape)} and {tuple(real.shape)}."
        )
    if len(real) == 0:
        raise ValueError("Similarities need at least one real picture, got none.")
    # NaN would be nearer than everything.
    given = {"features of generated pictures": generated, "features of real pictures": real}
    check_finite("Similarities", given)
    targets = F.normalize(real.float(), dim=1).T
    # The paper does not say how similarities to several real pictures are combined: the nearest.
    parts = [
        (F.normalize(rows.float(), dim=1) @ targets).amax(dim=1)
        for rows in torch.split(generated, _ROWS)
    ]
    return torch.cat(parts)


def nearest(similarity: Tensor, count: int) -> Tensor:
    """Choose the nearest pictures.

    Args:
        similarity: (M,) from `similarities`.
        count: Number K.

    Returns:
        (K,) int64 places in ascending order; of equally near ones the first.

    Raises:
        ValueError: There are fewer than K.
    """
    if not 1 <= count <= len(similarity):
        raise ValueError(f"Choose 1 to all {len(similarity)} of the samples, asked for {count}.")
    order = torch.argsort(similarity, descending=True, stable=True)
    return order[:count].sort().values
