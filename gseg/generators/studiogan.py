"""The residual generators of SNGAN, ACGAN, GGAN, SAGAN, BigGAN and ContraGAN, as StudioGAN's.

- ``resnet`` (Miyato et al. 2018, "Spectral Normalization for GANs"): z -> a 4x4 map -> upsampling
  blocks with class-conditional batch normalisation -> tanh. SAGAN adds self-attention (Zhang et al.
  2019); GGAN has no classes.
- ``big_resnet`` (Brock et al. 2019, "Large Scale GAN Training", section 3 and appendix B): z is cut
  into equal chunks, the first makes the 4x4 map, each later one joins a shared class embedding as
  the condition of one block's batch normalisations. ContraGAN differs in its training only.
  BigBiGAN (Donahue and Simonyan 2019) has no labels: its class embedding is one constant vector.

Two layouts of StudioGAN's checkpoints are public. In that of 2021 ("legacy") the conditional batch
normalisation of the residual generator keeps tables of classes (``embed0``, ``embed1``); since
January 2022 it keeps linear layers on one-hot labels (``gain``, ``bias``), their transposes. The
big residual generator is the same in both.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.generators import family, layers

_WIDTHS: Final[Mapping[int, tuple[int, ...]]] = {
    32: (4, 4, 4, 4),
    64: (16, 8, 4, 2, 1),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}
# StudioGAN's spellings over the years.
_UNCONDITIONAL: Final = ("no", "W/O", "N/A", None)
_NAMES: Final[family.Names] = (
    (r"^linear\.", "linear0."),
    (r"^norm\.", "bn4."),
    (r"^to_rgb\.", "conv2d5."),
    (r"^blocks\.(\d+)\.", r"blocks.\1.0."),
    (r"\.norm([12])\.norm\.", r".bn\1.bn."),
    (r"\.norm([12])\.", r".bn\1."),
    (r"\.conv([12])\.", r".conv2d\1."),
    (r"\.skip\.", ".conv2d0."),
    (r"\.query\.", ".conv1x1_theta."),
    (r"\.key\.", ".conv1x1_phi."),
    (r"\.value\.", ".conv1x1_g."),
    (r"\.out\.", ".conv1x1_attn."),
    (r"^(blocks\.\d+\.0)\.weight$", r"\1.sigma"),
)
_LEGACY_NAMES: Final[family.Names] = (
    (r"\.gain\.weight$", ".embed0.weight"),
    (r"(\.bn[12])\.bias\.weight$", r"\1.embed1.weight"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResNetConfig(layers.ResidualConfig):
    """Numbers that make a residual generator, beside those of all.

    Attributes:
        attention_after: Number of blocks after which self-attention stands, None for nowhere.
    """

    architecture: ClassVar = "resnet"
    attention_after: int | None = None

    def __post_init__(self) -> None:
        # By name: `super()` does not find a dataclass with slots, which is made anew.
        layers.ResidualConfig.__post_init__(self)
        blocks = len(self.channels) - 1
        if self.attention_after is not None and not 1 <= self.attention_after <= blocks:
            raise ValueError(
                f"attention_after counts residual blocks: expected None or 1 to {blocks}, "
                f"got {self.attention_after}."
            )

    def build(self) -> nn.Module:
        """Make the network, freshly initialised."""
        return ResNetGenerator(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class BigResNetConfig(ResNetConfig):
    """Numbers that make a big residual generator, beside those of a small one.

    Its latent_dim is a multiple of the number of blocks + 1. Without classes, one row of the
    shared embedding serves every picture.

    Attributes:
        shared_dim: Width of the class embedding that all blocks share.
        last_norm_eps: Epsilon of the last batch normalisation (BigBiGAN: 1e-5).
    """

    architecture: ClassVar = "big_resnet"
    shared_dim: int
    last_norm_eps: float = layers.NORM_EPS

    def __post_init__(self) -> None:
        ResNetConfig.__post_init__(self)
        layers.check_sizes(self.resolution, self.channels, shared_dim=self.shared_dim)
        if self.latent_dim % len(self.channels):
            raise ValueError(
                f"latent_dim is cut into {len(self.channels)} equal chunks (one for each block "
                f"and one for the 4x4 map), got {self.latent_dim}: give a multiple."
            )

    def build(self) -> nn.Module:
        """Make the network, freshly initialised."""
        return BigResNetGenerator(self)


class ResNetGenerator(nn.Module):
    """The residual generator; see the module's text."""

    activation_layer = "blocks.0"

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.latent_dim, config.channels[0] * layers.BOTTOM_WIDTH**2)
        self.blocks = _blocks(config, self._norm)
        self.norm = layers.BatchNorm(config.channels[-1])
        self.to_rgb = nn.Conv2d(config.channels[-1], 3, 3, padding=1)
        layers.initialise_orthogonally(self)

    def _norm(self, channels: int) -> nn.Module:
        classes = self.config.num_classes
        if classes == 0:
            return layers.BatchNorm(channels)
        return layers.ConditionalBatchNorm(
            channels, layers.Table(classes, channels), layers.Table(classes, channels)
        )

    def code_weights(self) -> Tensor:
        """See `gseg.generators.contract.Generator.code_weights`."""
        return self.linear.weight

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Make pictures (N, 3, R, R) in [-1, 1] from z (N, latent_dim) and labels y (N,) int64."""
        x = self.linear(z).view(len(z), -1, layers.BOTTOM_WIDTH, layers.BOTTOM_WIDTH)
        for block in self.blocks:
            x = block(x, y)
        return torch.tanh(self.to_rgb(F.relu(self.norm(x), inplace=True)))


class BigResNetGenerator(nn.Module):
    """The big residual generator; see the module's text."""

    def __init__(self, config: BigResNetConfig) -> None:
        super().__init__()
        self.config = config
        self._chunk = config.latent_dim // len(config.channels)
        self.shared = layers.Table(max(config.num_classes, 1), config.shared_dim)
        self.linear = nn.Linear(self._chunk, config.channels[0] * layers.BOTTOM_WIDTH**2)
        self.blocks = _blocks(config, self._norm)
        # Only the last block's activations depend on all chunks of z.
        self.activation_layer = f"blocks.{len(self.blocks) - 1}"
        self.norm = layers.BatchNorm(config.channels[-1], eps=config.last_norm_eps)
        self.to_rgb = nn.Conv2d(config.channels[-1], 3, 3, padding=1)
        layers.initialise_orthogonally(self)

    def _norm(self, channels: int) -> nn.Module:
        condition = self.config.shared_dim + self._chunk
        gain, bias = (nn.Linear(condition, channels, bias=False) for _ in range(2))
        return layers.ConditionalBatchNorm(channels, gain, bias)

    def code_weights(self) -> Tensor:
        """See `gseg.generators.contract.Generator.code_weights`."""
        entered = [(0, self.linear.weight)]
        blocks = (block for block in self.blocks if isinstance(block, layers.UpsamplingBlock))
        for number, block in enumerate(blocks, start=1):
            for norm in (block.norm1, block.norm2):
                parts = (norm.get_submodule(name) for name in ("gain", "bias"))
                weights = (part.get_parameter("weight") for part in parts)
                entered += [(number, weight[:, self.config.shared_dim :]) for weight in weights]
        # Chunk 0 makes the 4x4 map, chunk i joins block i: each at its own columns of z.
        chunks, size = len(self.config.channels), self._chunk
        return torch.cat([F.pad(part, (n * size, (chunks - 1 - n) * size)) for n, part in entered])

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Make pictures (N, 3, R, R) in [-1, 1] from z (N, latent_dim) and labels y (N,) int64."""
        first, *chunks = z.chunk(len(self.config.channels), dim=1)
        shared = self._embed(len(z), y)
        x = self.linear(first).view(len(z), -1, layers.BOTTOM_WIDTH, layers.BOTTOM_WIDTH)
        conditions = iter([torch.cat([shared, chunk], dim=1) for chunk in chunks])
        for block in self.blocks:
            x = block(x, None if isinstance(block, layers.SelfAttention) else next(conditions))
        return torch.tanh(self.to_rgb(F.relu(self.norm(x), inplace=True)))

    def _embed(self, count: int, y: Tensor | None) -> Tensor:
        """Give the shared class embedding (N, shared_dim)."""
        if self.config.num_classes == 0:
            return self.shared.weight.expand(count, -1)
        embedded: Tensor = self.shared(y)
        return embedded


def _blocks(config: ResNetConfig, norm: Callable[[int], nn.Module]) -> nn.ModuleList:
    blocks = nn.ModuleList()
    for count, (inside, outside) in enumerate(pairwise(config.channels), start=1):
        norms = norm(inside), norm(outside)
        blocks.append(layers.UpsamplingBlock(inside, outside, *norms))
        if count == config.attention_after:
            blocks.append(layers.SelfAttention(outside))
    return blocks


def _plan(stated: family.Stated, tensors: family.Tensors, _: object) -> family.Plan:
    seen = "big_resnet" if "shared.weight" in tensors else "resnet"
    architecture = stated.get("architecture", seen)
    if architecture not in ("resnet", "big_resnet"):
        raise ValueError(f"architecture must be resnet or big_resnet, got '{architecture}'")
    config = _config(architecture, stated.get("config", {}), tensors)
    network, big = config.build(), architecture == "big_resnet"
    # The big residual generator is the same in both layouts.
    legacy = not big and any(".embed0." in key for key in tensors)
    normalised = any(key.endswith("weight_orig") for key in tensors)

    def weight(key: str) -> family.WeightRule:
        if key == "shared.weight":
            return family.plain
        if not big and not legacy and re.search(r"\.(gain|bias)\.weight$", key):
            return family.spectral_transposed if normalised else family.transposed
        return family.spectral if normalised else family.plain

    return network, family.map_keys(network, (*_NAMES, *(_LEGACY_NAMES if legacy else ())), weight)


def _config(architecture: str, numbers: Mapping[str, Any], tensors: family.Tensors) -> ResNetConfig:
    """Translate StudioGAN's constructor arguments; what is left out is read off the shapes."""
    known = {**_seen_numbers(tensors), **{key: v for key, v in numbers.items() if v != "N/A"}}
    # StudioGAN writes "N/A" for what a configuration leaves out.
    needed = ["z_dim", "img_size", "g_conv_dim", *["shared_dim"] * (architecture == "big_resnet")]
    family.check_told(known, needed, f"a StudioGAN {architecture} generator")
    if known["img_size"] not in _WIDTHS:
        raise ValueError(f"img_size must be one of {sorted(_WIDTHS)}, got {known['img_size']}.")
    labelled = known.get("conditional_strategy", "as seen") not in _UNCONDITIONAL
    attention = known.get("attention_after_nth_gen_block") if known.get("attention") else None
    common: dict[str, Any] = {
        "latent_dim": known["z_dim"],
        "resolution": known["img_size"],
        "channels": tuple(known["g_conv_dim"] * factor for factor in _WIDTHS[known["img_size"]]),
        "num_classes": known.get("num_classes", 0) if labelled else 0,
        "attention_after": attention,
    }
    if architecture == "big_resnet":
        return BigResNetConfig(shared_dim=known["shared_dim"], **common)
    return ResNetConfig(**common)


def _seen_numbers(tensors: family.Tensors) -> dict[str, Any]:
    """Read off the shapes what they tell, in StudioGAN's spelling."""
    shapes = family.shapes_of(tensors)
    blocks = sum(key.endswith(".conv2d1.weight") for key in shapes)
    if blocks == 0 or "linear0.weight" not in shapes or "conv2d5.weight" not in shapes:
        return {}
    big = "shared.weight" in shapes
    side = 4 * 2**blocks
    seen: dict[str, Any] = {
        "img_size": side,
        "g_conv_dim": shapes["conv2d5.weight"][1] // _WIDTHS.get(side, (1,))[-1],
        "z_dim": shapes["linear0.weight"][1] * (blocks + 1 if big else 1),
    }
    if big:
        seen["num_classes"], seen["shared_dim"] = shapes["shared.weight"]
    elif "blocks.0.0.bn1.embed0.weight" in shapes:
        seen["num_classes"] = shapes["blocks.0.0.bn1.embed0.weight"][0]
    elif "blocks.0.0.bn1.gain.weight" in shapes:
        seen["num_classes"] = shapes["blocks.0.0.bn1.gain.weight"][1]
    attention = [key.split(".")[1] for key in shapes if key.endswith("conv1x1_theta.weight")]
    if attention:
        seen |= {"attention": True, "attention_after_nth_gen_block": int(attention[0])}
    return seen


FAMILIES: Final = tuple(
    family.Family(
        proper_name=proper_name,
        plan=_plan,
        configs=(ResNetConfig, BigResNetConfig),
        labelled=True,
        looks_like="a StudioGAN generator",
    )
    for proper_name in ("ACGAN", "BigGAN", "ContraGAN", "GGAN", "SAGAN", "SNGAN")
)
