"""The time that trials still take, from estimates and from what finished ones took."""

import time
from collections.abc import Sequence


class Remaining:
    """Estimates the time left.

    Estimates are scaled by how right those of the finished trials were. What is left is spread
    over as many trials as have run at the same time.

    Args:
        total: Trials in all.
        estimates: Estimated seconds of each; None for all alike and unknown.
    """

    def __init__(self, total: int, estimates: Sequence[float] | None) -> None:
        self._known = estimates is not None
        self._estimates = list(estimates) if estimates is not None else [1.0] * total
        self._begun: dict[int, float] = {}
        self._waiting = set(range(total))
        self._ended_estimates = self._ended_seconds = 0.0
        self._most_running = 1

    def start(self, number: int) -> None:
        """Note that a trial has started."""
        self._begun[number] = time.monotonic()
        self._waiting.discard(number)
        self._most_running = max(self._most_running, len(self._begun))

    def end(self, number: int) -> float:
        """Note that a trial has ended, and say how long it took."""
        self._waiting.discard(number)
        now = time.monotonic()
        seconds = now - self._begun.pop(number, now)
        self._ended_estimates += self._estimates[number]
        self._ended_seconds += seconds
        return seconds

    def seconds(self) -> float | None:
        """Say how long it still takes; None if nothing is known of it yet."""
        if self._ended_estimates > 0:
            factor = self._ended_seconds / self._ended_estimates
        elif self._known:
            factor = 1.0
        else:
            return None
        now = time.monotonic()
        running = [
            max(self._estimates[number] * factor - (now - begun), 0.0)
            for number, begun in self._begun.items()
        ]
        waiting = sum(self._estimates[number] for number in self._waiting) * factor
        shared = (sum(running) + waiting) / self._most_running
        return max(shared, *running, 0.0)
