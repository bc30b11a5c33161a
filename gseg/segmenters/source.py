"""Where a training finds its pairs of picture and mask, wherever they are kept."""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.transfers import send


class BatchSource(Protocol):
    """Numbered pairs of picture and mask, all of one size.

    Who trains asks for pairs by number, in the order that seed and step prescribe, so the result
    does not depend on how a source keeps them.
    """

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
    """Pairs held as two tensors.

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
        self._pictures = pictures
        self._masks = masks
        self._rows = pictures if pictures.is_contiguous() else pictures.permute(0, 2, 3, 1)

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of every picture."""
        return self._masks.shape[1], self._masks.shape[2]

    def __len__(self) -> int:
        return len(self._masks)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Fetch pairs; see `BatchSource.batch`."""
        if self._masks.device.type != "cpu":
            chosen = send(torch.from_numpy(indices), self._masks.device)
            return self._pictures[chosen], self._masks[chosen]
        # NumPy copies whole rows, several times as fast as PyTorch gathers them.
        pictures, masks = (
            torch.from_numpy(each.numpy()[indices]) for each in (self._rows, self._masks)
        )
        return (pictures if self._rows is self._pictures else pictures.permute(0, 3, 1, 2)), masks
