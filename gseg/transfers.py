"""Copies to and from a device that do not wait for what the device is doing.

An ordinary copy waits until the device has done everything it was asked before: it would stand
idle whenever the CPU decides what comes next.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BYTE = 8


def send(values: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the CPU to a device.

    Args:
        values: On the CPU.
        device: Where to.

    Returns:
        The same values there; the tensor itself if that is the CPU.
    """
    if device.type != "cuda":
        return values.to(device)
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
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    host.copy_(values, non_blocking=True)
    arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrived.record()

    def wait() -> Tensor:
        arrived.synchronize()
        return host

    return wait


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
