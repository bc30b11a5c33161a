"""Pairs shrunk to smaller pictures (Melas-Kyriazi et al. 2022, Table 15).

The paper trains on "128px-downsampled versions" of samples of 256 px, and does not say how they
were made. Assumed here: each pixel is the mean of the area that it covers, and it is foreground
where half of that area or more is.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from gseg.segmenters.source import BatchSource


def shrink(pictures: Tensor, masks: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Bring pairs to a smaller size.

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
    means = adaptive_avg_pool2d(pictures.float(), side)
    shares = adaptive_avg_pool2d(masks[:, None].float(), side)[:, 0]
    return means.round_().to(torch.uint8), shares >= 0.5


class ShrunkPairs:
    """The pairs of another source, shrunk as they are fetched; see `BatchSource`.

    Args:
        source: Larger pairs.
        side: Of the shrunk ones.
    """

    def __init__(self, source: BatchSource, side: int) -> None:
        self._source, self._side = source, side

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of every picture."""
        return self._side, self._side

    def __len__(self) -> int:
        return len(self._source)

    def batch(self, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Fetch pairs; see `BatchSource.batch`."""
        return shrink(*self._source.batch(indices), self._side)
