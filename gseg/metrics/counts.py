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
# A guess is too small by at most this: far more than float32 can round on the grid.
_SLACK: Final = 0.01
# Pixels at a time on a CPU: what is computed from them, some 25 bytes each, stays in its cache. A
# whole batch of 32 pictures of 320 px does not, and every operation on it takes fresh memory from
# the system: 2.1 ms a picture instead of 0.5 (one thread of a server CPU of 2023).
_PART: Final = 2**15


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


def pixel_histogram(
    probability: Tensor, mask: Tensor, scored: Tensor | None = None
) -> PixelHistogram:
    """Count background and foreground pixels in every bin of the probability, in one pass.

    The pass runs on the tensors' device; only the counts leave it.

    Args:
        probability: (N, H, W) floating point in [0, 1]; compared as float32.
        mask: (N, H, W) bool, the truth, on the same device.
        scored: (N, H, W) bool, False where a pixel does not count; None to count all.

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
    planes = probability.flatten(1)
    if planes.device.type == "cpu":
        _check_range(limits())
        size = _PART
    else:
        planes = planes.nan_to_num(0.0).clamp(0, 1)  # so that every pixel finds a bin
        size = planes.numel()
    tensors = [planes, *(each.flatten(1) for each in (mask, scored) if each is not None)]
    rows = max(1, size // planes.shape[1])
    parts = [
        _count_pictures([each[first : first + rows] for each in tensors], size)
        for first in range(0, len(planes), rows)
    ]

    def wait() -> PixelHistogram:
        _check_range(limits())
        counts, error = (
            np.concatenate([arrived().numpy() for arrived in each])
            for each in zip(*parts, strict=True)
        )
        return PixelHistogram(counts=counts, error=error)

    return wait


def _count_pictures(
    tensors: Sequence[Tensor], size: int
) -> tuple[Callable[[], Tensor], Callable[[], Tensor]]:
    """Begin to count N pictures, `size` pixels at a time: N is 1 where a picture has more."""
    counts, error = _count_part(*(each[:, :size] for each in tensors))
    for first in range(size, tensors[0].shape[1], size):
        more = _count_part(*(each[:, first : first + size] for each in tensors))
        counts += more[0]
        error += more[1]
    # Below the first threshold is only -0.0, whose bits are those of a negative number.
    counts[:, :, 1] += counts[:, :, 0]
    counts[:, :, 0] = 0
    return start_copy(counts), start_copy(error)


def _count_part(
    values: Tensor, mask: Tensor, scored: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Count (N, P) pixels of N pictures: (N, 2, 1024) and the errors (N,)."""
    count, size = len(values), len(values) * 2 * BINS
    values = values.to(torch.float32).reshape(-1)
    truth = mask.reshape(-1).to(torch.int32)
    error = (values * ERROR_UNIT).to(torch.int32).sub_(truth, alpha=ERROR_UNIT).abs_()
    step = (values * STEPS).add_(1 - _SLACK).to(torch.int32)
    # Bit patterns of floats that are not negative are ordered as the floats are, and integers are
    # compared several times faster: 0 below the threshold, 1 on it, 2 above.
    bins = values.view(torch.int32) - send(_BELOW, values.device).index_select(0, step)
    bins.clamp_(0, 2).add_(step, alpha=2).add_(truth, alpha=BINS)
    if count > 1:
        image = torch.arange(count, dtype=torch.int32, device=bins.device)
        bins.view(count, -1).add_(image[:, None], alpha=2 * BINS)
    if scored is not None:
        left_out = ~scored.reshape(-1)
        bins.masked_fill_(left_out, size)
        error.masked_fill_(left_out, 0)
    counts = _bincount(bins, size + 1)[:size]
    return counts.view(count, 2, BINS), error.view(count, -1).sum(1)


def _bincount(bins: Tensor, size: int) -> Tensor:
    if bins.device.type == "cpu":
        return torch.bincount(bins, minlength=size)
    # Elsewhere bincount would wait for the device, to know how many bins there are.
    one = torch.ones((), dtype=torch.int64, device=bins.device).expand(len(bins))
    return one.new_zeros(size).scatter_add_(0, bins.long(), one)


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


# Bit patterns of the thresholds, less one.
_BELOW: Final = _threshold_grid().view(torch.int32) - 1
