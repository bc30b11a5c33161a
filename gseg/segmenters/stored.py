"""Stored samples as the pairs of a training: in memory if they fit, shard by shard otherwise.

Which of the two makes no difference to what is trained: the order of the pairs is a function of
seed and step alone.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from gseg.samples.headers import ShardFacts
from gseg.samples.sets import read_pairs
from gseg.samples.shards import Shard
from gseg.segmenters.source import BatchSource, InMemoryPairs
from gseg.segmenters.streaming import AHEAD, StreamedPairs

MEMORY_SHARE: Final = 0.25
"""Share of the memory that is free when a training begins which its pairs may take."""
_CGROUP: Final = Path("/sys/fs/cgroup")


def open_pairs(
    shards: Sequence[Path],
    count: int,
    *,
    window: int,
    load: Callable[[int], Shard] | None = None,
    memory: int | None = None,
) -> BatchSource:
    """Open the first samples of shards for a training.

    Args:
        shards: Files of shards 0, 1, 2, ... in this order.
        count: Number N of samples.
        window: `FitConfig.shuffle_window` of the training.
        load: Gives shard k; reads file k by default.
        memory: Bytes that the pairs may take; by default `MEMORY_SHARE` of what is free.

    Returns:
        The pairs: decoded once and held if all of them fit, otherwise read as they are needed.

    Raises:
        ValueError: The shards hold fewer samples, are out of order or do not belong together; or
            not even the samples of one window fit.
        DamagedShardError: A file is damaged.
    """
    load = load or (lambda number: Shard.load(shards[number]))
    first = ShardFacts.read(shards[0])
    limit = memory if memory is not None else int(MEMORY_SHARE * free_memory())
    each = pair_bytes(first.resolution)
    if count * each <= limit:
        return InMemoryPairs(*read_pairs(map(load, range(len(shards))), count))
    facts = [ShardFacts.read(path) for path in shards]
    _check_facts(facts)
    held = window + (2 + AHEAD) * max(fact.rows for fact in facts)
    if min(held, count) * each > limit:
        raise ValueError(
            f"{count:,} pairs of {first.resolution} px, or the {min(held, count):,} of them that a "
            f"shuffle_window of {window:,} needs at a time ({min(held, count) * each / 2**30:.2f} "
            f"GiB), do not fit into {limit / 2**30:.2f} GiB, which is {MEMORY_SHARE:.0%} of the "
            "free memory unless said otherwise. Choose a smaller shuffle_window."
        )
    return StreamedPairs(
        load,
        count,
        resolution=first.resolution,
        window=window,
        rows=[fact.rows for fact in facts],
    )


def pair_bytes(resolution: int) -> int:
    """Say how much memory a decoded picture with its mask takes, in bytes."""
    return 4 * resolution**2


def free_memory() -> int:
    """Measure the memory that this process may still take, in bytes.

    Returns:
        What the machine has available, or what is left under the limit of its control group.
    """
    left = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        machine = _numbers(Path("/proc/meminfo"))
        left = [machine["MemAvailable:"] * 1024]
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            used = int((_CGROUP / "memory.current").read_text())
            cached = _numbers(_CGROUP / "memory.stat").get("inactive_file", 0)
            left.append(int(limit) - used + cached)
    except OSError:  # no Linux, or no control groups of version 2
        pass
    return max(0, min(left))


def _numbers(path: Path) -> dict[str, int]:
    """Read a file of the kernel with a name and a number in each line."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return {line[0]: int(line[1]) for line in lines if len(line) > 1}


def _check_facts(facts: Sequence[ShardFacts]) -> None:
    for number, fact in enumerate(facts):
        if fact.number != number:
            raise ValueError(f"Expected shard {number} next, got shard {fact.number}.")
        if fact.provenance != facts[0].provenance:
            raise ValueError(
                f"Shard {number} was drawn with other settings than shard 0: "
                f"{dict(fact.provenance)}, expected {dict(facts[0].provenance)}."
            )
