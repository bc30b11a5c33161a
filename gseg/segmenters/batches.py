"""Fetches the pairs of the next steps while the present one is computed.

Which pairs a step sees is known beforehand, from (seed, step) alone, so fetching ahead changes
nothing but the time.
"""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import torch
from torch import Tensor

from gseg.randomness import derive_seed, training_order
from gseg.segmenters.config import FitConfig
from gseg.segmenters.source import BatchSource

_AHEAD: Final = 2
"""Steps whose pairs are fetched or waiting; a source that reads ahead itself may hold more."""

Batch = tuple[Tensor, Tensor]


def batches(
    source: BatchSource, config: FitConfig, *, rank: int, device: torch.device, first: int
) -> Generator[Batch, None, None]:
    """Give each step's pairs in turn; close the iterator when leaving it before its end.

    Rank r of n replicas gets every n-th pair of a step, from the r-th on.

    Args:
        source: Asked by one other thread, for one step after the other.
        config: Seed, batch, steps, shuffle_window and replicas.
        rank: Which replica asks.
        device: Where the pairs are needed.
        first: The step to begin at.

    Yields:
        Pictures (B, 3, H, W) uint8 and masks (B, H, W) bool on the device.
    """
    seed = derive_seed(config.seed, "order")

    def fetch(step: int) -> Batch:
        order = training_order(seed, step, config.batch, len(source), config.shuffle_window)
        pictures, masks = source.batch(order[rank :: config.replicas])
        if device.type == "cuda" and pictures.device.type == "cpu":
            return pictures.pin_memory(), masks.pin_memory()  # so that copying does not wait
        return pictures, masks

    with ThreadPoolExecutor(1, thread_name_prefix="pairs") as pool:
        coming: deque[Future[Batch]] = deque()
        try:
            for step in range(first, config.steps):
                while len(coming) < min(_AHEAD, config.steps - step):
                    coming.append(pool.submit(fetch, step + len(coming)))
                pictures, masks = coming.popleft().result()
                yield pictures.to(device, non_blocking=True), masks.to(device, non_blocking=True)
        finally:
            for waiting in coming:
                waiting.cancel()
