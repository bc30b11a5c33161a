"""The residual generator of SNGAN, ACGAN, GGAN and SAGAN.

Miyato et al. 2018, "Spectral Normalization for GANs", as StudioGAN builds it: z -> a 4x4 map ->
upsampling blocks with class-conditional batch normalisation -> tanh. SAGAN adds self-attention
(Zhang et al. 2019); GGAN has no classes.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.generators.layers import (
    BOTTOM_WIDTH,
    BatchNorm,
    ConditionalBatchNorm,
    SelfAttention,
    Table,
    UpsamplingBlock,
    check_attention,
    check_sizes,
    initialise_orthogonally,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNetConfig:
    """Numbers that make a residual generator.

    Attributes:
        latent_dim: Width of z.
        resolution: Side of the pictures, 4 * 2**(number of blocks).
        channels: Widths from the 4x4 map to the last block: one more than there are blocks.
        num_classes: Classes of the conditional batch normalisation; 0 for plain, without labels.
        attention_after: Number of blocks after which self-attention stands, None for nowhere.
    """

    latent_dim: int
    resolution: int
    channels: tuple[int, ...]
    num_classes: int
    attention_after: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_sizes(self.resolution, self.channels, latent_dim=self.latent_dim)
        check_attention(self.attention_after, len(self.channels) - 1)
        if self.num_classes < 0:
            raise ValueError(f"num_classes must be 0 or more, got {self.num_classes}.")


class ResNetGenerator(nn.Module):
    """A residual generator; see the module's text.

    Args:
        config: Its numbers.
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        self.linear = nn.Linear(config.latent_dim, widths[0] * BOTTOM_WIDTH**2)
        self.blocks = nn.ModuleList()
        for count, (inside, outside) in enumerate(pairwise(widths), start=1):
            norms = self._norm(inside), self._norm(outside)
            self.blocks.append(UpsamplingBlock(inside, outside, *norms))
            if count == config.attention_after:
                self.blocks.append(SelfAttention(outside))
        self.norm = BatchNorm(widths[-1])
        self.to_rgb = nn.Conv2d(widths[-1], 3, 3, padding=1)
        initialise_orthogonally(self)

    def _norm(self, channels: int) -> nn.Module:
        classes = self.config.num_classes
        if classes == 0:
            return BatchNorm(channels)
        return ConditionalBatchNorm(channels, Table(classes, channels), Table(classes, channels))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Make pictures.

        Args:
            z: (N, latent_dim) float32.
            y: (N,) int64 labels; ignored without classes.

        Returns:
            (N, 3, R, R) in [-1, 1].
        """
        x = self.linear(z).view(len(z), -1, BOTTOM_WIDTH, BOTTOM_WIDTH)
        for block in self.blocks:
            x = block(x, y)
        return torch.tanh(self.to_rgb(F.relu(self.norm(x), inplace=True)))
