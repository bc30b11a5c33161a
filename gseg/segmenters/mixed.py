"""Several sources of pairs as one, each with its share of what is trained on.

For training on real pictures with masks and generated ones together (Melas-Kyriazi et al. 2022,
appendix B.4 and Table 13).
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.segmenters.source import BatchSource
from gseg.transfers import send

_MOST_SLOTS: Final = 2**26


class MixedPairs:
    """A source whose pairs are those of several sources, repeated so that the shares come out.

    An epoch has a slot for each pair of the source that its weight makes the scarcest, and
    proportionally many slots for the others, whose pairs take them in turn. Slots of different
    sources are spread evenly, so that any stretch of them has the shares, and each source's pairs
    come in their own order. A slot's number alone says whose pair it is, and the trainer's order
    is one of slots: so which pair is trained on at (seed, step, position) is a pure function.

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
        if len(set(sizes)) > 1:
            raise ValueError(
                "All sources of a mixture must have pictures of one size, got "
                f"{', '.join(f'{height} x {width}' for height, width in sizes)}; resize them."
            )
        self._lengths = np.array([len(source) for source in self._sources], dtype=np.int64)
        self._slots = _slots(self._lengths.tolist(), weights)

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of every picture."""
        return self._sources[0].resolution

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


def _slots(lengths: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Say how many slots each source has: the scarcest as many as it has pairs."""
    scale = max(length / weight for length, weight in zip(lengths, weights, strict=True))
    slots = [round(scale * weight) for weight in weights]
    if sum(slots) > _MOST_SLOTS:
        raise ValueError(
            f"With weights {list(weights)}, sources of {list(lengths)} pairs would make epochs of "
            f"{sum(slots):,} pairs, more than {_MOST_SLOTS:,}: choose less unequal weights, or "
            "fewer pairs of the largest source."
        )
    return slots
