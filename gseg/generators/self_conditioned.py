"""The residual generator of SelfCondGAN and UncondGAN.

Liu et al. 2020, "Diverse Image Generation via Self-Conditioned GANs" (their architecture resnet2,
after Mescheder et al. 2018): no normalisation at all, residual branches weighted by 0.1, and the
embedding of a cluster of pictures beside z. UncondGAN is the same without the embedding.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.generators import family, layers

_BRANCH_WEIGHT: Final = 0.1
_LEAK: Final = 0.2
_WIDEST: Final = 16
_NAMES: Final[family.Names] = (
    (r"^embedding\.", "get_latent.embedding."),
    (r"^linear\.", "fc."),
    (r"^to_rgb\.", "conv_img."),
    (r"\.conv1\.", ".conv_0."),
    (r"\.conv2\.", ".conv_1."),
    (r"\.skip\.", ".conv_s."),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SelfConditionedConfig(layers.ResidualConfig):
    """Numbers that make a self-conditioned generator, beside those of all residual ones.

    Its classes are clusters.

    Attributes:
        embed_dim: Width of a cluster's embedding; not used without clusters.
        blocks_per_stage: Residual blocks at each resolution.
    """

    architecture: ClassVar = "self_conditioned"
    embed_dim: int
    blocks_per_stage: int = 2

    def __post_init__(self) -> None:
        # By name: `super()` does not find a dataclass with slots, which is made anew.
        layers.ResidualConfig.__post_init__(self)
        layers.check_sizes(self.resolution, self.channels, blocks_per_stage=self.blocks_per_stage)
        if self.num_classes > 0 and self.embed_dim < 1:
            raise ValueError(
                f"embed_dim must be at least 1 with {self.num_classes} classes, "
                f"got {self.embed_dim}."
            )

    def build(self) -> nn.Module:
        """Make the network, freshly initialised."""
        return SelfConditionedGenerator(self)


class SelfConditionedGenerator(nn.Module):
    """A self-conditioned generator; see the module's text."""

    activation_layer = "blocks.0"

    def __init__(self, config: SelfConditionedConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        if config.num_classes > 0:
            self.embedding = layers.Table(config.num_classes, config.embed_dim)
        extra = config.embed_dim if config.num_classes > 0 else 0
        self.linear = nn.Linear(config.latent_dim + extra, widths[0] * layers.BOTTOM_WIDTH**2)
        self.blocks = nn.ModuleList()
        for number, outside in enumerate(widths):
            inside = widths[max(number - 1, 0)]
            self.blocks.append(_Block(inside, outside, enlarge=number > 0))
            for _ in range(config.blocks_per_stage - 1):
                self.blocks.append(_Block(outside, outside, enlarge=False))
        self.to_rgb = nn.Conv2d(widths[-1], 3, 3, padding=1)
        layers.initialise_orthogonally(self)

    def code_weights(self) -> Tensor:
        """See `gseg.generators.contract.Generator.code_weights`."""
        return self.linear.weight[:, : self.config.latent_dim]

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Make pictures (N, 3, R, R) in [-1, 1] from z (N, latent_dim) and clusters y (N,)."""
        if self.config.num_classes > 0:
            assert y is not None, "a conditional generator needs labels"
            embedded = self.embedding(y)
            # As the public program: the embedding's direction counts, not its length.
            norm = torch.linalg.vector_norm(embedded, dim=1, keepdim=True)
            z = torch.cat([z, embedded / norm], dim=1)
        x = self.linear(z).view(len(z), -1, layers.BOTTOM_WIDTH, layers.BOTTOM_WIDTH)
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.to_rgb(F.leaky_relu(x, _LEAK)))


class _Block(nn.Module):
    """``skip(x) + 0.1 conv2(act(conv1(act(x))))``, of the upsampled x if it enlarges.

    The skip is the identity for equal widths.
    """

    def __init__(self, in_channels: int, out_channels: int, *, enlarge: bool) -> None:
        super().__init__()
        # The narrower of both, as in the public program.
        hidden = min(in_channels, out_channels)
        self.enlarge = enlarge
        if enlarge:
            self.conv1: nn.Conv2d = layers.UpsampledConv2d(in_channels, hidden)
        else:
            self.conv1 = nn.Conv2d(in_channels, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, out_channels, 3, padding=1)
        self.skip: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.skip = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Bring x (N, in, H, W) to (N, out, H, W), or to twice that size."""
        h = F.leaky_relu(self.conv1(F.leaky_relu(x, _LEAK)), _LEAK, inplace=True)
        # Small branches keep a network without normalisation layers stable at its start.
        h = self.conv2(h) * _BRANCH_WEIGHT
        skip = self.skip(x)
        return layers.add_upsampled(h, skip) if self.enlarge else h.add_(skip)


def _plan(stated: family.Stated, tensors: family.Tensors, _: object) -> family.Plan:
    known = {**_seen_numbers(tensors), **stated.get("config", {})}
    needed = ["z_dim", "size", "nfilter", "conditioning"]
    labelled = known.get("conditioning") == "embedding"
    family.check_told(
        known, needed + ["nlabels"] * labelled, "a self-conditioned generator (resnet2)"
    )
    stages = (known["size"] // 4).bit_length()
    factors = [min(2 ** (stages - 1 - stage), _WIDEST) for stage in range(stages)]
    config = SelfConditionedConfig(
        latent_dim=known["z_dim"],
        resolution=known["size"],
        channels=tuple(known["nfilter"] * factor for factor in factors),
        num_classes=known["nlabels"] if labelled else 0,
        embed_dim=known.get("embed_size", 256) if labelled else 0,
    )
    network = SelfConditionedGenerator(config)

    def place(match: re.Match[str]) -> str:
        stage, block = divmod(int(match[1]), config.blocks_per_stage)
        return f"resnet_{stage}_{block}."

    return network, family.map_keys(
        network, (*_NAMES, (r"^blocks\.(\d+)\.", place)), lambda _: family.plain
    )


def _seen_numbers(tensors: family.Tensors) -> dict[str, Any]:
    """Read off the shapes what they tell, in the public program's spelling."""
    shapes = family.shapes_of(tensors)
    stages = sum(re.fullmatch(r"resnet_\d+_0\.conv_0\.weight", key) is not None for key in shapes)
    if stages == 0 or "fc.weight" not in shapes or "conv_img.weight" not in shapes:
        return {}
    clusters, width = shapes.get("get_latent.embedding.weight", (1, 0))
    return {
        "size": 4 * 2 ** (stages - 1),
        "nfilter": shapes["conv_img.weight"][1],
        "z_dim": shapes["fc.weight"][1] - width,
        "conditioning": "embedding" if width else "unconditional",
        "nlabels": clusters,
        "embed_size": width or 256,
    }


def _read(path: Path, stated: family.Stated) -> tuple[family.Stated, Any]:
    stated, content = family.read_plain(path, stated)
    # The public program keeps a moving average beside it, as "generator_test".
    if "checkpoint" not in stated and isinstance(content, Mapping) and "generator" in content:
        stated = {**stated, "checkpoint": {"weights_at": "generator"}}
    return stated, content


FAMILIES: Final = tuple(
    family.Family(
        proper_name=proper_name,
        plan=_plan,
        read=_read,
        configs=(SelfConditionedConfig,),
        looks_like="a self-conditioned generator",
    )
    for proper_name in ("SelfCondGAN", "UncondGAN")
)
