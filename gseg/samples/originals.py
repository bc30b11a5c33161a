"""The pictures G(z) of those candidates alone that need them, in batches of one size.

A network may give other last bits in another batch size, so the candidates that are left of
several blocks are gathered until they fill a batch of the size of a block; what is missing at the
end of a shard is filled up with zeros. In a batch of one size a picture's bits depend neither on
its place nor on its neighbours: the tests hold every embedded generator to that.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Forward = Callable[[Tensor, Tensor | None], Tensor]


class Originals:
    """A queue of candidates that need their G(z).

    Args:
        forward: Makes pictures from codes and labels.
        batch: Size of every batch.
    """

    def __init__(self, forward: Forward, batch: int) -> None:
        self._forward, self._batch = forward, batch
        self._codes: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._made: list[Tensor] = []

    def add(self, codes: Tensor, labels: Tensor | None) -> None:
        """Put candidates at the end of the queue; make pictures while they fill a batch.

        Args:
            codes: (n, code_dim) float32.
            labels: (n,) int64, or None; the same throughout.
        """
        self._codes.append(codes)
        if labels is not None:
            self._labels.append(labels)
        while sum(len(each) for each in self._codes) >= self._batch:
            self._make()

    def flush(self) -> None:
        """Make the pictures of all that wait."""
        waiting = sum(len(each) for each in self._codes)
        if waiting:
            missing = self._batch - waiting
            self._codes.append(self._codes[0].new_zeros(missing, self._codes[0].shape[1]))
            if self._labels:
                self._labels.append(self._labels[0].new_zeros(missing))
            self._make()

    def take(self, count: int) -> Tensor | None:
        """Hand out the pictures of the candidates that were added first.

        Args:
            count: How many, at least 1.

        Returns:
            (count, 3, R, R), or None if they are not all made yet.
        """
        if not self._made or sum(len(each) for each in self._made) < count:
            return None
        made = torch.cat(self._made) if len(self._made) > 1 else self._made[0]
        self._made = [made[count:]]
        return made[:count]

    def _make(self) -> None:
        codes = torch.cat(self._codes)
        labels = torch.cat(self._labels) if self._labels else None
        first = None if labels is None else labels[: self._batch]
        self._made.append(self._forward(codes[: self._batch], first))
        self._codes = [codes[self._batch :]]
        self._labels = [] if labels is None else [labels[self._batch :]]
