"""Where a training finds its pairs of picture and mask, wherever they are kept.

Who trains asks for pairs by number, in the order that seed and step prescribe
(`gseg.randomness.training_order`), so the result does not depend on how a source keeps them: in
memory (`InMemoryPairs`), shard by shard from files (`StreamedPairs`), several sources as one
(`MixedPairs`), or shrunk (`ShrunkPairs`).
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from gseg.samples.sets import first_samples, in_order
from gseg.samples.shards import Shard, ShardFacts
from gseg.storage.files import format_bytes
from gseg.transfers import send

MEMORY_SHARE: Final = 0.25
"""Share of the memory that is free when a training begins which its pairs may take."""
AHEAD: Final = 2
"""Shards that are decoded before the training needs them."""
_MOST_SLOTS: Final = 2**26
_CGROUP: Final = Path("/sys/fs/cgroup")


class BatchSource(Protocol):
    """Numbered pairs of picture and mask, all of one size."""

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of every picture."""
        ...

    def __len__(self) -> int:
        """Number of pairs."""
        ...

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Fetch pairs.

        Args:
            indices: (B,) int64 in [0, len(self)), in any order, possibly repeated.

        Returns:
            Pictures (B, 3, H, W) uint8 and masks (B, H, W) bool, in the order of the indices.
        """
        ...


class InMemoryPairs:
    """Pairs held as two tensors; see `BatchSource`.

    Args:
        pictures: (N, 3, H, W) uint8, N at least 1.
        masks: (N, H, W) bool.

    Raises:
        ValueError: Shapes or dtypes do not fit.
    """

    def __init__(self, pictures: Tensor, masks: Tensor) -> None:
        if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[1] != 3:
            raise ValueError(
                f"Pictures must be (N, 3, H, W) uint8, got {tuple(pictures.shape)} "
                f"{pictures.dtype}; gseg.images.to_uint8 converts from [-1, 1]."
            )
        if masks.dtype != torch.bool or masks.shape != (len(pictures), *pictures.shape[2:]):
            raise ValueError(
                f"Masks must be {(len(pictures), *pictures.shape[2:])} bool like the pictures, "
                f"got {tuple(masks.shape)} {masks.dtype}."
            )
        if len(pictures) == 0:
            raise ValueError("A segmenter cannot be trained on no pairs; give at least one.")
        self._pictures, self._masks = pictures, masks
        self.resolution = (masks.shape[1], masks.shape[2])
        self._rows = pictures if pictures.is_contiguous() else pictures.permute(0, 2, 3, 1)

    def __len__(self) -> int:
        return len(self._masks)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Fetch pairs; see `BatchSource.batch`."""
        if self._masks.device.type != "cpu":
            chosen = send(torch.from_numpy(indices), self._masks.device)
            return self._pictures[chosen], self._masks[chosen]
        # NumPy copies whole rows, several times as fast as PyTorch gathers them.
        pictures, masks = (torch.from_numpy(t.numpy()[indices]) for t in (self._rows, self._masks))
        return (pictures if self._rows is self._pictures else pictures.permute(0, 3, 1, 2)), masks


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
        Which of the two makes no difference to what is trained.

    Raises:
        ValueError: The shards hold fewer samples, are out of order or do not belong together; or
            not even the samples of one window fit.
        DamagedShardError: A file is damaged.
    """
    load = load or (lambda number: Shard.load(shards[number]))
    side = ShardFacts.read(shards[0]).resolution
    limit = memory if memory is not None else int(MEMORY_SHARE * free_memory())
    if count * pair_bytes(side) <= limit:
        held = first_samples(map(load, range(len(shards))), count)
        return InMemoryPairs(held.pictures, held.masks)
    rows = [facts.rows for facts in in_order(map(ShardFacts.read, shards))]
    needed = min(window + (2 + AHEAD) * max(rows), count)
    if needed * pair_bytes(side) > limit:
        raise ValueError(
            f"{count:,} pairs of {side} px, or the {needed:,} of them that a shuffle_window of "
            f"{window:,} needs at a time ({format_bytes(needed * pair_bytes(side))}), do not fit "
            f"into {format_bytes(limit)}, which is {MEMORY_SHARE:.0%} of the free memory unless "
            "said otherwise. Choose a smaller shuffle_window."
        )
    return StreamedPairs(load, count, resolution=side, window=window, rows=rows)


def pair_bytes(resolution: int) -> int:
    """Say how much memory a decoded picture with its mask takes, in bytes."""
    return 4 * resolution**2


def free_memory() -> int:
    """Measure the memory that this process may still take, in bytes.

    Returns:
        What the machine has available, or what is left under the limit of its control group.
    """
    left: list[int] = [psutil.virtual_memory().available]
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        if limit != "max":
            used = int((_CGROUP / "memory.current").read_text())
            lines = (_CGROUP / "memory.stat").read_text().splitlines()
            cached = dict(line.split() for line in lines).get("inactive_file", 0)
            left.append(int(limit) - used + int(cached))
    except OSError:  # no Linux, or no control groups of version 2
        pass
    return max(0, min(left))


class StreamedPairs:
    """A source of pairs (`BatchSource`) that holds only some of its shards.

    A training takes pairs in an order in which the next one is always among
    `FitConfig.shuffle_window` consecutive samples. So a reader that goes through the shards from
    first to last, and holds those that this window touches, decodes every shard once an epoch and
    gives exactly what all pairs in memory would give. Any other order gives the right pairs, too,
    more slowly.

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
        self._load, self._count, self._side, self._window = load, count, resolution, window
        self.resolution = (resolution, resolution)
        self._ends: NDArray[np.int64] = np.cumsum(np.asarray(rows, dtype=np.int64))
        if not rows or self._ends[-1] < count:
            raise ValueError(f"The shards hold {sum(rows)} samples, asked for {count}: draw more.")
        self._ends = self._ends[: int(np.searchsorted(self._ends, count)) + 1]
        self._held: dict[int, Future[Shard]] = {}
        self._front = 0
        # Decodes the shards after the window beforehand.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shards")

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
            shard = self._coming(number).result()
            pictures[here] = shard.pictures.permute(0, 2, 3, 1).numpy()[rows]
            masks[here] = shard.masks.numpy()[rows]
            if self._gap(number) >= self._window:  # after the last shard comes the first again
                self._front = number
        self._tidy()
        return torch.from_numpy(pictures).permute(0, 3, 1, 2), torch.from_numpy(masks)

    def _start(self, number: int) -> int:
        return int(self._ends[number - 1]) if number else 0

    def _coming(self, number: int) -> Future[Shard]:
        if number not in self._held:
            self._held[number] = self._pool.submit(self._load, number)
        return self._held[number]

    def _tidy(self) -> None:
        """Ask for the next shards, and let go of those that the window has left."""
        coming = [(self._front + 1 + k) % len(self._ends) for k in range(AHEAD)]
        for number in coming:
            self._coming(number)
        for number in [each for each in self._held if each not in coming]:
            if number != self._front and self._gap(number) >= self._window:
                del self._held[number]

    def _gap(self, number: int) -> int:
        """Count the samples from the end of a shard to the start of the foremost one."""
        return (self._start(self._front) - int(self._ends[number])) % int(self._ends[-1])


class MixedPairs:
    """Several sources of pairs as one, repeated so that each has its share.

    For training on real pictures with masks and generated ones together (Melas-Kyriazi et al.
    2022, appendix B.4 and Table 13).

    An epoch has a slot for each pair of the source that its weight makes the scarcest, and
    proportionally many slots for the others, whose pairs take them in turn. Slots of different
    sources are spread evenly, so that any stretch of them has the shares, and each source's pairs
    come in their own order.

    Args:
        parts: Sources and weights, positive numbers; a source's share of the pairs trained on is
            its weight over the sum. With the sources' lengths as weights every pair counts the
            same, as in one set put together from all.

    Raises:
        ValueError: There is no source, a weight is not positive, sizes of pictures differ, or the
            weights are so unequal that an epoch would be endless.
    """

    def __init__(self, parts: Sequence[tuple[BatchSource, float]]) -> None:
        if not parts:
            raise ValueError("A mixture needs at least one source of pairs, got none.")
        self._sources = tuple(source for source, _ in parts)
        weights = [weight for _, weight in parts]
        if not all(0 < weight < math.inf for weight in weights):
            raise ValueError(f"The weights of a mixture must be positive numbers, got {weights}.")
        sizes = [source.resolution for source in self._sources]
        self.resolution = sizes[0]
        if len(set(sizes)) > 1:
            raise ValueError(
                "All sources of a mixture must have pictures of one size, got "
                f"{', '.join(f'{height} x {width}' for height, width in sizes)}; resize them."
            )
        lengths = [len(source) for source in self._sources]
        scale = max(length / weight for length, weight in zip(lengths, weights, strict=True))
        self._lengths = np.array(lengths, dtype=np.int64)
        self._slots = [round(scale * weight) for weight in weights]
        if sum(self._slots) > _MOST_SLOTS:
            raise ValueError(
                f"With weights {weights}, sources of {lengths} pairs would make epochs of "
                f"{sum(self._slots):,} pairs, more than {_MOST_SLOTS:,}: choose less unequal "
                "weights, or fewer pairs of the largest source."
            )

    def __len__(self) -> int:
        """Slots of an epoch."""
        return sum(self._slots)

    def locate(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Say whose pairs take some slots.

        Args:
            indices: (B,) int64 in [0, len(self)).

        Returns:
            (B,) int64 number of the source, and (B,) int64 number of the pair in it.
        """
        # A slot's number alone says whose pair it is, and the trainer's order is one of slots: so
        # which pair is trained on at (seed, step, position) is a pure function.
        owners = np.full(len(indices), len(self._slots) - 1, dtype=np.int64)
        places, left = indices.astype(np.int64), len(self)
        open_ = np.ones(len(indices), dtype=np.bool_)
        for owner, slots in enumerate(self._slots[:-1]):
            # Of any first k slots, floor(k * slots / left) are this source's; the others' slots
            # are numbered among themselves and divided between them in the same way.
            before = places * slots // left
            taken = open_ & ((places + 1) * slots // left > before)
            owners[taken] = owner
            open_ &= ~taken
            places = np.where(taken, before, np.where(open_, places - before, places))
            left -= slots
        return owners, places % self._lengths[owners]

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Fetch pairs; see `BatchSource.batch`."""
        owners, inner = self.locate(indices)
        places = [np.flatnonzero(owners == number) for number in range(len(self._sources))]
        fetched = [
            source.batch(inner[where])
            for source, where in zip(self._sources, places, strict=True)
            if len(where)
        ]
        back = torch.from_numpy(np.argsort(np.concatenate(places), kind="stable"))
        pictures, masks = (torch.cat(each) for each in zip(*fetched, strict=True))
        back = send(back, pictures.device)
        return pictures[back], masks[back]


def shrink(pictures: Tensor, masks: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Bring pairs to a smaller size (Melas-Kyriazi et al. 2022, Table 15).

    Args:
        pictures: (N, 3, H, W) uint8.
        masks: (N, H, W) bool.
        side: Of the results; the pairs are at least as large.

    Returns:
        Pictures (N, 3, side, side) uint8 and masks (N, side, side) bool.

    Raises:
        ValueError: The pairs are smaller.
    """
    if min(masks.shape[1:]) < side:
        raise ValueError(
            f"Pairs of {masks.shape[1]} x {masks.shape[2]} px can be shrunk, not enlarged, to "
            f"{side} px: choose a smaller side."
        )
    # The paper trains on "128px-downsampled versions" of samples of 256 px, and does not say how
    # they were made. Assumed: each pixel is the mean of the area that it covers, and it is
    # foreground where half of that area or more is.
    means = adaptive_avg_pool2d(pictures.float(), side)
    shares = adaptive_avg_pool2d(masks[:, None].float(), side)[:, 0]
    return means.round_().to(torch.uint8), shares >= 0.5


class ShrunkPairs:
    """The pairs of another source, shrunk to a side in pixels as they are fetched."""

    def __init__(self, source: BatchSource, side: int) -> None:
        self._source, self._side = source, side
        self.resolution = (side, side)

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Fetch pairs; see `BatchSource.batch`."""
        return shrink(*self._source.batch(indices), self._side)
