"""Labelled pictures as training pairs: for trainings that may see some true masks.

Melas-Kyriazi et al. 2022, appendix B.4, trains on 1,000 pictures of CUB with their masks. As for
scoring there (section 4), a picture is brought to the side of the generated ones by its shorter
side, and its middle square is kept.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.randomness import derive_seed, uniforms
from gseg.scores.batches import prepare
from gseg.scores.contract import Benchmark


def chosen_pictures(benchmark: Benchmark, seed: int, first: int, count: int) -> NDArray[np.int64]:
    """Choose pictures at random, so that other places of the same order are other pictures.

    Args:
        benchmark: The labelled pictures.
        seed: Of the random order.
        first: Place of the first in it.
        count: How many.

    Returns:
        (count,) int64 numbers of pictures, all different.

    Raises:
        ValueError: There are not so many.
    """
    if first + count > len(benchmark):
        raise ValueError(
            f"{benchmark.name} has {len(benchmark):,} pictures, asked for {count:,}"
            + (f" after the first {first:,}." if first else ".")
        )
    keys = uniforms(derive_seed(seed, "labelled"), [0], len(benchmark))[0]
    return np.argsort(keys, kind="stable")[first : first + count].astype(np.int64)


def square_pairs(
    benchmark: Benchmark, numbers: NDArray[np.int64], side: int
) -> tuple[Tensor, Tensor]:
    """Read labelled pictures and bring the middle square of each to one size.

    Args:
        benchmark: The labelled pictures.
        numbers: (N,) int64, N at least 1.
        side: Of the squares in pixels.

    Returns:
        Pictures (N, 3, side, side) uint8 and masks (N, side, side) bool.

    Raises:
        UnreadableImageError: A file is damaged.
    """
    pictures, masks = [], []
    for number in numbers.tolist():
        prepared = prepare(benchmark[number], number, "text", side)
        height, width = prepared.mask.shape
        top, left = (height - side) // 2, (width - side) // 2
        window = (slice(top, top + side), slice(left, left + side))
        pictures.append(prepared.picture[:, *window])
        masks.append(prepared.mask[window])
    return torch.stack(pictures), torch.stack(masks)
