"""The bilinear U-Net that both papers train on generated pairs of picture and mask.

Ronneberger, Fischer and Brox 2015, in the shape of github.com/milesial/Pytorch-UNet with bilinear
upsampling: Melas-Kyriazi et al. 2022, appendix B.1, and Voynov et al. 2021, section 3.5, both use
it with two logits. Parameter names are milesial's, so public checkpoints load as they are.
"""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DoubleConvolution(nn.Module):
    """Twice: 3x3 convolution, batch normalisation, ReLU.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels of both convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H, W)."""
        mapped: Tensor = self.double_conv(features)
        return mapped


class Down(nn.Module):
    """Halve the resolution, then convolve.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(
            nn.MaxPool2d(2), DoubleConvolution(in_channels, out_channels)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, H // 2, W // 2)."""
        mapped: Tensor = self.maxpool_conv(features)
        return mapped


class Up(nn.Module):
    """Double the resolution, put the encoder's map in front, then convolve.

    Args:
        in_channels: Channels of both maps together.
        out_channels: Channels that go out.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = DoubleConvolution(in_channels, out_channels)

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
    """The identity, whose gradient is laid out densely.

    The gradient of a concatenation is a slice; the backward pass of the bilinear upsampling, and
    adding another gradient, are several times slower on a slice than on a dense map in the layout
    of the forward pass.
    """

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

    The widths are ``width * (1, 2, 4, 8, 8)`` at the papers' depth of four; another depth keeps
    the rule that widths double and the last two are equal.

    Args:
        in_channels: Channels of the picture.
        out_channels: Logits for each pixel: background, foreground.
        width: Channels at full resolution; the papers use 64.
        depth: How often the resolution is halved; the papers use 4.

    Attributes:
        in_channels, out_channels, width, depth: As given.

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
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.width = width
        self.depth = depth
        channels = [width * 2 ** min(level, depth - 1) for level in range(depth + 1)]
        self.inc = DoubleConvolution(in_channels, channels[0])
        for level in range(depth):
            self.add_module(f"down{level + 1}", Down(channels[level], channels[level + 1]))
        below = channels[depth]
        for level in reversed(range(depth)):
            out = channels[max(level - 1, 0)]
            self.add_module(f"up{depth - level}", Up(below + channels[level], out))
            below = out
        self.outc = nn.ModuleDict({"conv": nn.Conv2d(below, out_channels, kernel_size=1)})

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits.

        Args:
            images: (N, in_channels, H, W) float in [-1, 1]; both sides at least 2 ** depth.

        Returns:
            (N, out_channels, H, W) logits.

        Raises:
            ValueError: The shape of the pictures does not fit.
        """
        self._check(images)
        skips = [self.inc(images)]
        for level in range(self.depth):
            skips.append(self.get_submodule(f"down{level + 1}")(skips[-1]))
        features = skips.pop()
        for level in range(self.depth):
            features = self.get_submodule(f"up{level + 1}")(features, skips.pop())
        logits: Tensor = self.outc["conv"](features)
        return logits

    def _check(self, images: Tensor) -> None:
        smallest = 2**self.depth
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise ValueError(
                f"The U-Net takes pictures of shape (N, {self.in_channels}, H, W), got "
                f"{tuple(images.shape)}."
            )
        if min(images.shape[2:]) < smallest:
            raise ValueError(
                f"A U-Net of depth {self.depth} needs pictures of at least {smallest} x {smallest} "
                f"pixels, got {images.shape[2]} x {images.shape[3]}."
            )
