"""Pixel counts at every threshold of every profile, in one pass over the pixels.

Each probability is put into a bin of a fixed grid; sums over the bins give the true and false
positives at all thresholds. The bin is first guessed by integer arithmetic and then corrected by
one comparison with the threshold beside it, so that the counts are those of comparing float32
with float32 at every threshold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.transfers import send, start_copy

STEPS: Final = 510
"""The grid has a threshold at j / 510: the 255 of the papers are the even ones, 0.5 is j = 255,
and the odd ones are where a probability is rounded to the next byte."""
BINS: Final = 1024
"""At least 2 * STEPS + 3: between thresholds and exactly on one are bins of their own."""
ERROR_UNIT: Final = 2**24
"""Absolute errors are summed as multiples of 2**-24: integers, whatever the device adds first."""
_SLACK: Final = 0.01
"""A guess is too small by at most this: far more than float32 can round on the grid."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelHistogram:
    """What scores need to know of the pixels of N pictures.

    Attributes:
        counts: (N, 2, 1024) int64, pixels in every bin; index 1 of the second axis is foreground.
            Bin 2j + 2 starts above threshold j / 510, bin 2j + 1 is that threshold itself.
        error: (N,) int64, sum of |probability - truth| over the pixels in units of 2**-24.
    """

    counts: NDArray[np.int64]
    error: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.error)

    def __getitem__(self, rows: slice) -> "PixelHistogram":
        """Take some of the pictures."""
        return PixelHistogram(counts=self.counts[rows], error=self.error[rows])

    @classmethod
    def join(cls, parts: Sequence["PixelHistogram"]) -> "PixelHistogram":
        """Put the pictures of several batches one after the other."""
        return cls(
            counts=np.concatenate([part.counts for part in parts]),
            error=np.concatenate([part.error for part in parts]),
        )


def pixel_histogram(
    probability: Tensor, mask: Tensor, scored: Tensor | None = None
) -> PixelHistogram:
    """Count background and foreground pixels in every bin of the probability, in one pass.

    The pass runs on the tensors' device; only the counts leave it.

    Args:
        probability: (N, H, W) floating point in [0, 1]; compared as float32.
        mask: (N, H, W) bool, the truth, on the same device.
        scored: (N, H, W) bool, False where a pixel does not count; None to count all.

    Returns:
        The counts of the N pictures.

    Raises:
        ValueError: Shapes differ, the mask is not bool, or a probability is not in [0, 1].
    """
    return begin_histogram(probability, mask, scored)()


def begin_histogram(
    probability: Tensor, mask: Tensor, scored: Tensor | None = None
) -> Callable[[], PixelHistogram]:
    """Begin to count pixels; see `pixel_histogram`.

    Returns:
        A function that waits for the counts and gives them. On other devices than the CPU it is
        this that finds out whether a probability is in [0, 1].

    Raises:
        ValueError: See `pixel_histogram`.
    """
    _check_form(probability, mask)
    limits = start_copy(torch.stack(probability.aminmax()))
    values = probability.to(torch.float32).reshape(-1)
    if values.device.type == "cpu":
        _check_range(limits())
    else:
        values = values.nan_to_num(0.0).clamp_(0, 1)  # so that every pixel finds a bin
    count = probability.shape[0]
    truth = mask.reshape(-1).to(torch.int32)
    error = (values * ERROR_UNIT).to(torch.int32).sub_(truth, alpha=ERROR_UNIT).abs_()
    step = (values * STEPS).add_(1 - _SLACK).to(torch.int32)
    edge = send(_THRESHOLDS, values.device).index_select(0, step)
    bins = step.mul_(2).add_(values >= edge).add_(values > edge)
    bins.add_(truth, alpha=BINS)
    if count > 1:
        image = torch.arange(count, dtype=torch.int32, device=bins.device)
        bins.view(count, -1).add_(image[:, None], alpha=2 * BINS)
    size = count * 2 * BINS
    if scored is not None:
        left_out = ~scored.reshape(-1)
        bins.masked_fill_(left_out, size)
        error.masked_fill_(left_out, 0)
    counts = start_copy(_bincount(bins, size + 1)[:size].view(count, 2, BINS))
    errors = start_copy(error.view(count, -1).sum(1))

    def wait() -> PixelHistogram:
        _check_range(limits())
        return PixelHistogram(counts=counts().numpy(), error=errors().numpy())

    return wait


def _bincount(bins: Tensor, size: int) -> Tensor:
    """Count; integers, whatever the device adds first."""
    if bins.device.type == "cpu":
        return torch.bincount(bins, minlength=size)
    # Elsewhere bincount would wait for the device, to know how many bins there are.
    one = torch.ones((), dtype=torch.int64, device=bins.device).expand(len(bins))
    return torch.zeros(size, dtype=torch.int64, device=bins.device).scatter_add_(
        0, bins.long(), one
    )


def _check_form(probability: Tensor, mask: Tensor) -> None:
    if probability.ndim != 3 or probability.shape != mask.shape or mask.dtype != torch.bool:
        raise ValueError(
            f"Probabilities {tuple(probability.shape)} and masks {tuple(mask.shape)} of "
            f"{mask.dtype} do not fit: expected (N, H, W) both, masks of torch.bool."
        )
    if probability.numel() == 0:
        raise ValueError(f"Nothing to score in probabilities of shape {tuple(probability.shape)}.")


def _check_range(limits: Tensor) -> None:
    low, high = limits
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"Probabilities must be in [0, 1], got {low.item():.6g} to {high.item():.6g}; "
            "apply softmax to logits, and look for NaN in the segmenter."
        )


def _threshold_grid() -> Tensor:
    """Give the float32 thresholds j / 510, the even ones as the programs compute them."""
    grid = np.arange(STEPS + 1) / STEPS
    grid[: STEPS - 1 : 2] = np.arange(0, 1, 1 / 255)
    return torch.from_numpy(grid.astype(np.float32))


_THRESHOLDS: Final = _threshold_grid()
