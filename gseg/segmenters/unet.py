"""The bilinear U-Net that both papers train on generated pairs of picture and mask.

Ronneberger, Fischer and Brox 2015, in the shape of github.com/milesial/Pytorch-UNet with bilinear
upsampling: Melas-Kyriazi et al. 2022, appendix B.1, and Voynov et al. 2021, section 3.5, both use
it with two logits. Parameter names are milesial's, so public checkpoints load as they are.

A U-Net is filled from a seed (`initialise`) or from given tensors (`load_strictly`).
"""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn

from gseg.arrays import check_finite


def _double_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """Twice 3x3 convolution, batch normalisation, ReLU: (N, in_channels, H, W) to the others."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers += [
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(OrderedDict(double_conv=nn.Sequential(*layers)))


def _down(in_channels: int, out_channels: int) -> nn.Sequential:
    """Halve the resolution, rounded down, then convolve."""
    parts = nn.Sequential(nn.MaxPool2d(2), _double_convolution(in_channels, out_channels))
    return nn.Sequential(OrderedDict(maxpool_conv=parts))


class Up(nn.Module):
    """Double the resolution, put the encoder's map in front, then convolve both together."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = _double_convolution(in_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Join a coarse map with the encoder's finer one.

        Args:
            features: (N, C, h, w).
            skip: (N, D, H, W) with H - 2h and W - 2w in {0, 1}: an odd side lost a row in pooling.

        Returns:
            (N, out_channels, H, W).
        """
        grown = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
        rows = skip.shape[2] - grown.shape[2]
        columns = skip.shape[3] - grown.shape[3]
        if rows or columns:
            left, top = columns // 2, rows // 2
            grown = F.pad(grown, (left, columns - left, top, rows - top))
        both = [_DenseGradient.apply(each) for each in (skip, grown)]
        joined: Tensor = self.conv(torch.cat(both, dim=1))
        return joined


class _Layout(Protocol):
    channels_last: bool


class _DenseGradient(torch.autograd.Function):
    """The identity, whose gradient is laid out densely."""

    # The gradient of a concatenation is a slice; the backward pass of the bilinear upsampling, and
    # adding another gradient, are several times slower on a slice than on a dense map in the layout
    # of the forward pass.

    @staticmethod
    def forward(ctx: _Layout, features: Tensor) -> Tensor:
        ctx.channels_last = features.is_contiguous(memory_format=torch.channels_last)
        return features.view_as(features)

    @staticmethod
    def backward(ctx: _Layout, gradient: Tensor) -> Tensor:
        layout = torch.channels_last if ctx.channels_last else torch.contiguous_format
        return gradient.contiguous(memory_format=layout)


class UNet(nn.Module):
    """An encoder and a decoder with connections at each resolution.

    Args:
        in_channels: Channels of the picture.
        out_channels: Logits for each pixel: background, foreground.
        width: Channels at full resolution; the papers use 64.
        depth: How often the resolution is halved; the papers use 4.

    Raises:
        ValueError: A size is not positive.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 2, width: int = 64, depth: int = 4
    ) -> None:
        super().__init__()
        if min(in_channels, out_channels, width, depth) < 1:
            raise ValueError(
                f"A U-Net needs in_channels, out_channels, width and depth of at least 1, got "
                f"{in_channels}, {out_channels}, {width} and {depth}."
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.width, self.depth = width, depth
        # width * (1, 2, 4, 8, 8) at the papers' depth of four; another depth keeps the rule that
        # widths double and the last two are equal.
        channels = [width * 2 ** min(level, depth - 1) for level in range(depth + 1)]
        self.inc = _double_convolution(in_channels, channels[0])
        for level in range(depth):
            self.add_module(f"down{level + 1}", _down(channels[level], channels[level + 1]))
        below = channels[depth]
        for level in reversed(range(depth)):
            out = channels[max(level - 1, 0)]
            self.add_module(f"up{depth - level}", Up(below + channels[level], out))
            below = out
        self.outc = nn.ModuleDict({"conv": nn.Conv2d(below, out_channels, kernel_size=1)})

    def forward(self, images: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) in [-1, 1] to logits (N, out_channels, H, W).

        Raises:
            ValueError: The shape of the pictures does not fit.
        """
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"The U-Net takes pictures of shape (N, {self.in_channels}, H, W), got "
                f"{tuple(images.shape)}."
            )
        check_sides(self.depth, *images.shape[2:])
        skips = [self.inc(images)]
        for level in range(self.depth):
            skips.append(self.get_submodule(f"down{level + 1}")(skips[-1]))
        features = skips.pop()
        for level in range(self.depth):
            features = self.get_submodule(f"up{level + 1}")(features, skips.pop())
        logits: Tensor = self.outc["conv"](features)
        return logits


def check_sides(depth: int, height: int, width: int) -> None:
    """Make sure that pictures can be halved as often as a U-Net does.

    Raises:
        ValueError: They are too small.
    """
    smallest = 2**depth
    if min(height, width) < smallest:
        raise ValueError(
            f"A U-Net of depth {depth} needs pictures of at least {smallest} x {smallest} pixels, "
            f"got {height} x {width}; choose a smaller depth."
        )


def blank_unet(
    in_channels: int = 3, out_channels: int = 2, *, width: int = 64, depth: int = 4
) -> UNet:
    """Make a `UNet` on the CPU whose memory holds anything, without drawing random numbers."""
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
        source: Where they come from, for errors.

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
    check_finite(source, state)
    problems += [
        f"'{key}' holds {state[key].dtype}"
        for key, tensor in wanted.items()
        if key in state and state[key].is_floating_point() != tensor.is_floating_point()
    ]
    if problems:
        more = f", and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError(f"{source} does not fit the U-Net: {', '.join(problems[:5])}{more}.")
    network.load_state_dict(dict(state), strict=True)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a file.

    Raises:
        SafetensorError, OSError: It cannot be read, or is none.
    """
    with safe_open(path, framework="pt") as file:
        # Not a mapping: it has no __iter__.
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
