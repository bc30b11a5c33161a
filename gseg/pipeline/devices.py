"""What ``--device`` may say on this machine."""

import torch


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
