"""The big residual generator of BigGAN, ContraGAN and BigBiGAN.

Brock et al. 2019, "Large Scale GAN Training", section 3 and appendix B: z is cut into equal chunks,
the first makes the 4x4 map, each later one joins a shared class embedding as the condition of one
block's batch normalisations. ContraGAN differs in its training only. BigBiGAN (Donahue and
Simonyan 2019) has no labels: its class embedding is one constant vector.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.generators.layers import (
    BOTTOM_WIDTH,
    NORM_EPS,
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
class BigResNetConfig:
    """Numbers that make a big residual generator.

    Attributes:
        latent_dim: Width of z, a multiple of the number of blocks + 1.
        shared_dim: Width of the class embedding that all blocks share.
        resolution: Side of the pictures, 4 * 2**(number of blocks).
        channels: Widths from the 4x4 map to the last block: one more than there are blocks.
        num_classes: Rows of the shared embedding; 0 for one row that serves every picture.
        attention_after: Number of blocks after which self-attention stands, None for nowhere.
        last_norm_eps: Epsilon of the last batch normalisation (BigBiGAN: 1e-5).
    """

    latent_dim: int
    shared_dim: int
    resolution: int
    channels: tuple[int, ...]
    num_classes: int
    attention_after: int | None = None
    last_norm_eps: float = NORM_EPS

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_sizes(
            self.resolution,
            self.channels,
            latent_dim=self.latent_dim,
            shared_dim=self.shared_dim,
        )
        check_attention(self.attention_after, len(self.channels) - 1)
        if self.latent_dim % len(self.channels):
            raise ValueError(
                f"latent_dim is cut into {len(self.channels)} equal chunks (one for each block "
                f"and one for the 4x4 map), got {self.latent_dim}: give a multiple."
            )
        if self.num_classes < 0:
            raise ValueError(f"num_classes must be 0 or more, got {self.num_classes}.")


class BigResNetGenerator(nn.Module):
    """A big residual generator; see the module's text.

    Args:
        config: Its numbers.
    """

    def __init__(self, config: BigResNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        chunk = config.latent_dim // len(widths)
        self._condition_dim = config.shared_dim + chunk
        self.shared = Table(max(config.num_classes, 1), config.shared_dim)
        self.linear = nn.Linear(chunk, widths[0] * BOTTOM_WIDTH**2)
        self.blocks = nn.ModuleList()
        for count, (inside, outside) in enumerate(pairwise(widths), start=1):
            norms = self._norm(inside), self._norm(outside)
            self.blocks.append(UpsamplingBlock(inside, outside, *norms))
            if count == config.attention_after:
                self.blocks.append(SelfAttention(outside))
        self.norm = BatchNorm(widths[-1], eps=config.last_norm_eps)
        self.to_rgb = nn.Conv2d(widths[-1], 3, 3, padding=1)
        initialise_orthogonally(self)

    def _norm(self, channels: int) -> nn.Module:
        return ConditionalBatchNorm(
            channels,
            nn.Linear(self._condition_dim, channels, bias=False),
            nn.Linear(self._condition_dim, channels, bias=False),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Make pictures.

        Args:
            z: (N, latent_dim) float32.
            y: (N,) int64 labels; ignored without classes.

        Returns:
            (N, 3, R, R) in [-1, 1].
        """
        first, *chunks = z.chunk(len(self.config.channels), dim=1)
        shared = self._embed(len(z), y)
        x = self.linear(first).view(len(z), -1, BOTTOM_WIDTH, BOTTOM_WIDTH)
        conditions = iter([torch.cat([shared, chunk], dim=1) for chunk in chunks])
        for block in self.blocks:
            x = block(x, None if isinstance(block, SelfAttention) else next(conditions))
        return torch.tanh(self.to_rgb(F.relu(self.norm(x), inplace=True)))

    def _embed(self, count: int, y: Tensor | None) -> Tensor:
        """Give the shared class embedding (N, shared_dim)."""
        if self.config.num_classes == 0 or y is None:
            assert self.config.num_classes == 0, "a conditional generator needs labels"
            return self.shared.weight.expand(count, -1)
        embedded: Tensor = self.shared(y)
        return embedded
