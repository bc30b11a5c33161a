"""A sample set on disk while it grows: shards 0, 1, 2, ... that anyone may be adding to."""

import math
from collections.abc import Mapping
from pathlib import Path

from gseg.samples.headers import find_facts
from gseg.samples.sets import AcceptanceError, check_acceptance, sum_counts
from gseg.samples.shards import shard_name
from gseg.storage.mirror import exists


class GrowingSet:
    """What is known of a set from its shards up to the first gap.

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
        """Look for the next shard; False if it is not there, or was damaged and is deleted."""
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
        try:
            check_acceptance(self.counts)
        except AcceptanceError:
            return True
        return False

    def needs(self, shard: int, count: int) -> bool:
        """Say whether a shard has to be drawn for the first samples.

        Not if it is there, nor if those before it hold enough at the acceptance so far, nor if
        the set is hopeless. Nothing is known before the first shard: then all candidates may be
        accepted.

        Args:
            shard: Its number.
            count: Samples needed.
        """
        known = len(self.shards)
        if shard < known or self.counts["accepted"] >= count or self.is_hopeless:
            return False
        if exists(self.folder / shard_name(shard)):
            return False
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
