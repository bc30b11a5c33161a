"""What ``--device`` may say on this machine, and how a process that computes is set up."""

import ctypes
import sys
from pathlib import Path
from typing import Final

import torch

from gseg.generators.catalogue import use_weights

_KEPT_BYTES: Final = 2**29
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def require_device(device: str) -> None:
    """Make sure that there is a GPU where one is asked for.

    Args:
        device: ``cpu`` or ``cuda``, perhaps with a number.

    Raises:
        ValueError: There is none.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"--device {device}, but PyTorch finds no GPU on this machine: leave --device out."
        )


def prepare_process(threads: int, weights: Path | None = None) -> None:
    """Set up a process that computes and does nothing else.

    Args:
        threads: Of PyTorch. Bits depend on it, so it never follows from the machine.
        weights: Folder of published weights, from `weights_folder` of the process that this one
            works for; None for that of the environment.
    """
    torch.set_num_threads(threads)
    use_weights(weights)
    if sys.platform == "linux":
        # Memory that was freed stays with the process, up to 512 MiB, instead of going back to the
        # system and coming again, page by page, with the next batch: a fifth of the time in which
        # features are taken, a tenth of a search for a direction. Other C libraries ignore it.
        for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)(option, _KEPT_BYTES)
