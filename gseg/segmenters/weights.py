"""Fill a U-Net: with nothing, from a seed, or from given tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gseg.segmenters.unet import UNet


def blank_unet(
    in_channels: int = 3, out_channels: int = 2, *, width: int = 64, depth: int = 4
) -> UNet:
    """Make a U-Net whose weights are yet to be filled, without drawing random numbers.

    Args:
        in_channels: See `UNet`.
        out_channels: See `UNet`.
        width: See `UNet`.
        depth: See `UNet`.

    Returns:
        The network on the CPU; its memory holds anything.
    """
    with torch.device("meta"):
        network = UNet(in_channels, out_channels, width, depth)
    return network.to_empty(device="cpu")


def initialise(network: nn.Module, seed: int) -> None:
    """Draw the weights of every convolution from a seed, leaving global random state alone.

    The distribution is PyTorch's default for convolutions, U(-b, b) with b = 1 / sqrt(fan in), for
    weights and biases; it is what the papers' programs start from.

    Args:
        network: Changed in place; batch normalisations are reset.
        seed: Any non-negative integer below 2**63.
    """
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                bound = module.weight[0].numel() ** -0.5
                for parameter in module.parameters(recurse=False):
                    drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=stream)
                    parameter.copy_(drawn)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Copy tensors into a network; every name and shape must agree.

    Args:
        network: Changed in place.
        state: Tensors by name.
        source: Named in errors.

    Raises:
        ValueError: A tensor is missing, extra or mis-shaped; the message names it.
    """
    wanted = network.state_dict()
    problems = [f"missing '{key}'" for key in wanted if key not in state]
    problems += [f"unexpected '{key}'" for key in state if key not in wanted]
    problems += [
        f"'{key}' has shape {tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in state and state[key].shape != tensor.shape
    ]
    if problems:
        more = f", and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"{source} does not fit the U-Net: {', '.join(problems[:5])}{more}.")
    network.load_state_dict(dict(state), strict=True)
