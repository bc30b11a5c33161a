"""Where and how a training runs, apart from what it computes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gseg.segmenters.config import FitConfig
from gseg.segmenters.held_out import Measurement
from gseg.segmenters.source import BatchSource


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Where and how a training runs: nothing here changes its result on one kind of device.

    Attributes:
        device: Where to train.
        checkpoint: File for the unfinished training: read if it exists, replaced from time to
            time as `gseg.segmenters.checkpoint.Keeper` says, and after the last step. Whoever
            keeps the result deletes it.
        checkpoint_seconds: Between two writings of it; 0 for after every step.
        progress: Called after each step with the steps done and the steps in all.
        measured: Called after each measurement on held-out pairs before the last.
        rank: Which of the config's replicas this process is: it takes every n-th pair of each
            step, from this number on. Rank 0 writes the checkpoint; all ranks read it.
        wrap: Gets the network on its device and returns what is called in training, such as
            DistributedDataParallel, which averages gradients over the replicas. Needed for more
            than one replica.
    """

    device: str | torch.device = "cpu"
    checkpoint: Path | None = None
    checkpoint_seconds: float = 60.0
    progress: Callable[[int, int], None] | None = None
    measured: Callable[[Measurement], None] | None = None
    rank: int = 0
    wrap: Callable[[nn.Module], nn.Module] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.checkpoint_seconds < float("inf"):
            raise ValueError(
                f"checkpoint_seconds must be a number of at least 0, got {self.checkpoint_seconds}."
            )


def check_fits(source: BatchSource, config: FitConfig, run: Run) -> None:
    """Find out before the first step what would go wrong later.

    Args:
        source: The pairs.
        config: What to train.
        run: Where and how.

    Raises:
        ValueError: Pictures are too small, the batch is too small for batch normalisation, or
            replicas and run do not agree.
    """
    smallest, (height, width) = 2**config.depth, source.resolution
    if min(height, width) < smallest:
        raise ValueError(
            f"A U-Net of depth {config.depth} needs pictures of at least {smallest} x {smallest} "
            f"pixels, got {height} x {width}; choose a smaller depth."
        )
    share = config.batch // config.replicas
    if share * (height >> config.depth) * (width >> config.depth) < 2:
        raise ValueError(
            f"Batch normalisation needs more than one value: a batch of {config.batch} over "
            f"{config.replicas} replicas is too small for {height} x {width} pixels at depth "
            f"{config.depth}. Choose a larger batch or a smaller depth."
        )
    if not 0 <= run.rank < config.replicas:
        raise ValueError(
            f"rank must be in [0, {config.replicas}), the config's replicas, got {run.rank}."
        )
    if config.replicas > 1 and run.wrap is None:
        raise ValueError(
            f"{config.replicas} replicas need `wrap`, which makes them average their gradients "
            "(DistributedDataParallel for example), got none."
        )
