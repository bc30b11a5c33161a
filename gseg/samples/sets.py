"""Data sets of samples: the first N accepted ones over shards 0, 1, 2, ...

So a larger set extends a smaller one, and every trial on the same samples shares the shards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from gseg.samples.filters import REASONS
from gseg.samples.shards import Shard

_PATIENCE: Final = 10_000
_LEAST_ACCEPTANCE: Final = 0.01


class AcceptanceError(ValueError):
    """The filters reject nearly everything; the message gives the counts."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SampleSet:
    """Accepted samples: generated pictures with their masks.

    Attributes:
        indices: (N,) int64, the candidates' numbers, ascending.
        labels: (N,) int64 or None.
        pictures: (N, 3, R, R) uint8.
        masks: (N, R, R) bool.
        statistics: (N,) each.
        counts: Sums over the shards that the samples came from, which go on to the end of the
            last one: ``accepted`` may exceed N.
    """

    indices: Tensor
    labels: Tensor | None
    pictures: Tensor
    masks: Tensor
    statistics: Mapping[str, Tensor]
    counts: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.indices)


def load_samples(shard_paths: Iterable[str | Path], count: int) -> SampleSet:
    """Read the first samples from shard files.

    Args:
        shard_paths: Files of shards 0, 1, 2, ... in this order; those beyond need are not read.
        count: Number N of samples.

    Returns:
        The first N accepted samples.

    Raises:
        ValueError: The shards hold fewer samples, are out of order or do not belong together.
        DamagedShardError: A file is damaged.
    """
    return first_samples((Shard.load(Path(path)) for path in shard_paths), count)


def read_pairs(shards: Iterable[Shard], count: int) -> tuple[Tensor, Tensor]:
    """Take pictures and masks of the first samples, holding one shard besides them at a time.

    Args:
        shards: Shards 0, 1, 2, ...; taken one after the other until there are enough samples.
        count: Number N of samples, at least 1.

    Returns:
        Pictures (N, 3, R, R) uint8, in memory the channels of a pixel are neighbours; and masks
        (N, R, R) bool.

    Raises:
        ValueError: There are fewer, or the shards are out of order or do not belong together.
        DamagedShardError: A file is damaged.
    """
    done, first = 0, None
    for number, shard in enumerate(shards):
        if first is None:
            first, (side, _) = shard, shard.masks.shape[1:]
            pictures = torch.empty((count, side, side, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
            masks = torch.empty((count, side, side), dtype=torch.bool)
        _check_next(number, first, shard)
        taken = min(len(shard), count - done)
        pictures[done : done + taken] = shard.pictures[:taken]
        masks[done : done + taken] = shard.masks[:taken]
        done += taken
        if done == count:
            return pictures, masks
    raise ValueError(f"The shards hold {done} accepted samples, asked for {count}: draw more.")


def first_samples(shards: Iterable[Shard], count: int) -> SampleSet:
    """Take the first samples of consecutive shards.

    Args:
        shards: Shards 0, 1, 2, ...; taken one after the other until there are enough samples.
        count: Number N of samples.

    Returns:
        The first N accepted samples.

    Raises:
        ValueError: There are fewer, or the shards are out of order or do not belong together.
    """
    if count < 1:
        raise ValueError(f"A sample set holds at least 1 sample, asked for {count}.")
    used: list[Shard] = []
    accepted = 0
    for shard in shards:
        _check_next(len(used), used[0] if used else shard, shard)
        used.append(shard)
        accepted += len(shard)
        if accepted >= count:
            break
    if accepted < count:
        raise ValueError(
            f"{len(used)} shards hold {accepted} accepted samples, asked for {count}: draw more."
        )
    return join(used, count)


def join(parts: Sequence[Shard | SampleSet], count: int | None = None) -> SampleSet:
    """Put samples behind one another.

    Args:
        parts: At least one; all with labels or all without, and with the same statistics.
        count: How many to keep from the start; None for all.

    Returns:
        New tensors, and the sums of all counts.
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
    """Add counts of candidates, accepted and rejected up.

    Args:
        counts: Of shards or blocks, with the same keys.

    Returns:
        The sums, keys in the same order.
    """
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
    candidates, accepted = counts["candidates"], counts["accepted"]
    if candidates < _PATIENCE or accepted >= _LEAST_ACCEPTANCE * candidates:
        return
    reasons = ", ".join(f"{name} {counts[name]:,}" for name in REASONS if counts.get(name))
    raise AcceptanceError(
        f"Only {accepted:,} of {candidates:,} candidates were accepted; rejected by {reasons}. "
        "Look at the direction's contact sheet, or change epsilon or the filters."
    )


def _check_next(number: int, first: Shard, shard: Shard) -> None:
    if shard.number != number:
        raise ValueError(f"Expected shard {number} next, got shard {shard.number}.")
    if shard.provenance != first.provenance:
        raise ValueError(
            f"Shard {number} was drawn with other settings than shard 0: "
            f"{dict(shard.provenance)}, expected {dict(first.provenance)}."
        )
