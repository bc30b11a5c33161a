"""Pairs for a training that come shard by shard, from files.

A training takes pairs in an order in which the next one is always among `FitConfig.shuffle_window`
consecutive samples (`gseg.randomness.training_order`). So a reader that goes through the shards
from first to last, and holds those that this window touches, decodes every shard once an epoch
and gives exactly what all pairs in memory would give. The shards after the window are decoded
beforehand, by a thread of its own.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.samples.shards import Shard

AHEAD: Final = 2
"""Shards that are decoded before the training needs them."""


class StreamedPairs:
    """A source of pairs (`BatchSource`) that holds only some of its shards.

    Any order of asking gives the right pairs; one that moves forward through the samples, each
    time within the window, also loads every shard only once.

    Args:
        load: Gives shard k, the same one whenever it is asked for k.
        count: Number of pairs: the first ones of shards 0, 1, 2, ...
        resolution: Side of the pictures in pixels.
        window: Consecutive samples among which one batch after the other is chosen.
        rows: Samples of each shard.

    Raises:
        ValueError: The shards hold fewer samples.
    """

    def __init__(
        self,
        load: Callable[[int], Shard],
        count: int,
        *,
        resolution: int,
        window: int,
        rows: Sequence[int],
    ) -> None:
        self._load, self._count, self._side = load, count, resolution
        self._window = window
        self._ends: NDArray[np.int64] = np.cumsum(np.asarray(rows, dtype=np.int64))
        if not rows or self._ends[-1] < count:
            raise ValueError(f"The shards hold {sum(rows)} samples, asked for {count}: draw more.")
        self._ends = self._ends[: int(np.searchsorted(self._ends, count)) + 1]
        self._held: dict[int, Future[Shard]] = {}
        self._front = 0
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shards")

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of every picture."""
        return self._side, self._side

    def __len__(self) -> int:
        return self._count

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Fetch pairs; see `BatchSource.batch`.

        Raises:
            DamagedShardError: A file is damaged.
        """
        numbers = np.searchsorted(self._ends, indices, side="right")
        pictures = np.empty((len(indices), self._side, self._side, 3), dtype=np.uint8)
        masks = np.empty((len(indices), self._side, self._side), dtype=np.bool_)
        for number in np.unique(numbers).tolist():
            here = np.flatnonzero(numbers == number)
            rows = indices[here] - self._start(number)
            shard = self._shard(number)
            pictures[here] = shard.pictures.permute(0, 2, 3, 1).numpy()[rows]
            masks[here] = shard.masks.numpy()[rows]
            self._advance(number)
        self._tidy()
        return torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(masks)

    def _start(self, number: int) -> int:
        return int(self._ends[number - 1]) if number else 0

    def _shard(self, number: int) -> Shard:
        if number not in self._held:
            self._held[number] = self._pool.submit(self._load, number)
        return self._held[number].result()

    def _advance(self, number: int) -> None:
        """Note how far the training has come; after the last shard comes the first again."""
        if self._gap(number) >= self._window:
            self._front = number

    def _tidy(self) -> None:
        """Ask for the next shards, and let go of those that the window has left."""
        coming = [(self._front + 1 + k) % len(self._ends) for k in range(AHEAD)]
        for number in coming:
            if number not in self._held:
                self._held[number] = self._pool.submit(self._load, number)
        for number in [each for each in self._held if each not in coming]:
            if number != self._front and self._gap(number) >= self._window:
                del self._held[number]

    def _gap(self, number: int) -> int:
        """Count the samples from the end of a shard to the start of the foremost one."""
        return (self._start(self._front) - int(self._ends[number])) % int(self._ends[-1])
