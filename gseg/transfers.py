"""Copies to and from a device that do not wait for what the device is doing.

An ordinary copy waits until the device has done everything it was asked before: it would stand
idle whenever the CPU decides what comes next. So what a loop needs from a device is begun here and
asked for a round later.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BYTE = 8

T = TypeVar("T")


def send(values: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor to a device.

    Args:
        values: On the CPU, or on the device already.
        device: Where to.

    Returns:
        The same values there; the tensor itself if it is there.
    """
    device = torch.device(device)
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    # PyTorch keeps pinned memory for the next call, once the copy from it is done.
    return values.pin_memory().to(device, non_blocking=True)


def start_copy(values: Tensor) -> Callable[[], Tensor]:
    """Begin to copy a tensor to the CPU.

    Args:
        values: On any device.

    Returns:
        A function that waits for the copy and gives it; without a copy for tensors of the CPU.
    """
    if values.device.type != "cuda":
        return values.cpu
    # Not on a stream of its own. A block of 64 pictures of 128 pixels is 3 MB, .1 ms of a PCIe bus,
    # against 10 ms and more for making it: that little could be hidden, at the price of memory that
    # is held until another stream is done with it.
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def wait() -> Tensor:
        arrived.synchronize()
        return host

    return wait


def one_behind(begun: Iterable[T]) -> Iterator[T]:
    """Hand each item on when the next has begun, so that a device works while the CPU does.

    Args:
        begun: Each item that is taken from it begins something.

    Yields:
        The items in their order.
    """
    waiting: list[T] = []
    for item in begun:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.pop(0)
    yield from waiting


def start_mask_copy(masks: Tensor) -> Callable[[], NDArray[np.bool_]]:
    """Begin to copy masks to the CPU, eight pixels in a byte unless they are there already.

    Args:
        masks: (N, H, W) bool on any device.

    Returns:
        A function that waits for the copy and gives (N, H, W) bool.
    """
    if masks.device.type == "cpu":
        return masks.numpy
    count, *sides = masks.shape
    wait = start_copy(pack_bits(masks.flatten(1)))
    pixels = masks[:1].numel() if count else 0

    def unpack() -> NDArray[np.bool_]:
        bits = np.unpackbits(wait().numpy(), axis=1, count=pixels)
        return bits.view(np.bool_).reshape(count, *sides)

    return unpack


def pack_bits(rows: Tensor) -> Tensor:
    """Pack as `numpy.packbits` does along the last axis, on the tensor's own device.

    Args:
        rows: (N, P) bool.

    Returns:
        (N, ceil(P / 8)) uint8; the bits that are left over are 0.
    """
    padded = torch.nn.functional.pad(rows.to(torch.uint8), (0, -rows.shape[1] % _BYTE))
    grouped = padded.view(len(rows), padded.shape[1] // _BYTE, _BYTE)
    packed = grouped[..., 0].clone()
    for bit in range(1, _BYTE):
        packed.mul_(2).add_(grouped[..., bit])
    return packed
