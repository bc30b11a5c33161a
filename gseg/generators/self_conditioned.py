"""The residual generator of SelfCondGAN and UncondGAN.

Liu et al. 2020, "Diverse Image Generation via Self-Conditioned GANs" (their architecture resnet2,
after Mescheder et al. 2018): no normalisation at all, residual branches weighted by 0.1, and the
embedding of a cluster of pictures beside z. UncondGAN is the same without the embedding.
"""

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.generators.layers import (
    BOTTOM_WIDTH,
    Table,
    UpsampledConv2d,
    add_upsampled,
    check_sizes,
    initialise_orthogonally,
)

_BRANCH_WEIGHT: Final = 0.1
_LEAK: Final = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfConditionedConfig:
    """Numbers that make a self-conditioned generator.

    Attributes:
        latent_dim: Width of z.
        resolution: Side of the pictures, 4 * 2**(number of stages - 1).
        channels: Width of each stage, from 4x4 pixels upwards.
        num_classes: Clusters, which serve as classes; 0 for none.
        embed_dim: Width of a cluster's embedding; not used without clusters.
        blocks_per_stage: Residual blocks in each stage.
    """

    latent_dim: int
    resolution: int
    channels: tuple[int, ...]
    num_classes: int
    embed_dim: int
    blocks_per_stage: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_sizes(
            self.resolution,
            self.channels,
            latent_dim=self.latent_dim,
            blocks_per_stage=self.blocks_per_stage,
        )
        if self.num_classes < 0:
            raise ValueError(f"num_classes must be 0 or more, got {self.num_classes}.")
        if self.num_classes > 0 and self.embed_dim < 1:
            raise ValueError(
                f"embed_dim must be at least 1 with {self.num_classes} classes, "
                f"got {self.embed_dim}."
            )


class SelfConditionedGenerator(nn.Module):
    """A self-conditioned generator; see the module's text.

    Args:
        config: Its numbers.
    """

    def __init__(self, config: SelfConditionedConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        if config.num_classes > 0:
            self.embedding = Table(config.num_classes, config.embed_dim)
        extra = config.embed_dim if config.num_classes > 0 else 0
        self.linear = nn.Linear(config.latent_dim + extra, widths[0] * BOTTOM_WIDTH**2)
        self.blocks = nn.ModuleList()
        for number, outside in enumerate(widths):
            inside = widths[max(number - 1, 0)]
            self.blocks.append(_Block(inside, outside, enlarge=number > 0))
            for _ in range(config.blocks_per_stage - 1):
                self.blocks.append(_Block(outside, outside, enlarge=False))
        self.to_rgb = nn.Conv2d(widths[-1], 3, 3, padding=1)
        initialise_orthogonally(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Make pictures.

        Args:
            z: (N, latent_dim) float32.
            y: (N,) int64 clusters; ignored without clusters.

        Returns:
            (N, 3, R, R) in [-1, 1].
        """
        if self.config.num_classes > 0:
            assert y is not None, "a conditional generator needs labels"
            embedded = self.embedding(y)
            norm = torch.linalg.vector_norm(embedded, dim=1, keepdim=True)
            z = torch.cat([z, embedded / norm], dim=1)
        x = self.linear(z).view(len(z), -1, BOTTOM_WIDTH, BOTTOM_WIDTH)
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.to_rgb(F.leaky_relu(x, _LEAK)))


class _Block(nn.Module):
    """``skip(x) + 0.1 conv2(act(conv1(act(x))))``, of the upsampled x if it enlarges.

    The skip is the identity for equal widths.
    """

    def __init__(self, in_channels: int, out_channels: int, *, enlarge: bool) -> None:
        super().__init__()
        hidden = min(in_channels, out_channels)
        self.enlarge = enlarge
        if enlarge:
            self.conv1: nn.Conv2d = UpsampledConv2d(in_channels, hidden)
        else:
            self.conv1 = nn.Conv2d(in_channels, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, out_channels, 3, padding=1)
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Bring x (N, in, H, W) to (N, out, H, W), or to twice that size."""
        h = F.leaky_relu(self.conv1(F.leaky_relu(x, _LEAK)), _LEAK, inplace=True)
        h = self.conv2(h) * _BRANCH_WEIGHT
        skip = self.skip(x)
        return add_upsampled(h, skip) if self.enlarge else h.add_(skip)
