"""StyleGAN2's generator in plain PyTorch.

Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", in the configuration of
stylegan2-ada-pytorch with skip connections. A modulated convolution is computed as: scale the
input's channels by the style, convolve with the shared weight, scale the output's channels
(section 2.2 there, before its weights are fused), so that a batch needs one convolution.

Directions live in w, broadcast to all layers. The output has no tanh and may leave [-1, 1].
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Final, Literal
from zipfile import is_zipfile

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.downloads import check_file
from gseg.generators import family
from gseg.generators.reading import read_stored_module
from gseg.state_dicts import is_safetensors

_SLOPE: Final = 0.2
_GAIN: Final = math.sqrt(2)
_EPS: Final = 1e-8
_MAPPING_RATE: Final = 0.01  # the mapping learns at a hundredth of the rate
_SMALLEST: Final = 4
_NAMES: Final[family.Names] = (
    (r"^mapping\.(\d+)\.", r"mapping.fc\1."),
    (r"^mean_style$", "mapping.w_avg"),
    (r"^const$", "synthesis.b4.const"),
    (r"\.to_rgb\.", ".torgb."),
    (r"\.noise$", ".noise_const"),
    (r"^blocks\.(\d+)\.", lambda match: f"synthesis.b{_SMALLEST * 2 ** int(match[1])}."),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StyleGAN2Config:
    """Numbers that make a StyleGAN2 generator.

    Attributes:
        latent_dim: Width of z.
        style_dim: Width of w.
        resolution: Side of the pictures, a power of two.
        channels: Widths from the 4x4 map to the last resolution.
        mapping_layers: Layers from z to w.
        clamp: Bound of all activations, None for none.
        noise: ``const`` for the noise stored in the checkpoint, ``none`` for no noise.
        truncation: psi: codes are drawn towards the mean of w by this factor; 1 for none.
        truncation_cutoff: Number of first layers that are truncated; None for all.
    """

    architecture: ClassVar = "stylegan2"
    num_classes: ClassVar = 0  # no public generator of this family has classes
    latent_dim: int
    style_dim: int
    resolution: int
    channels: tuple[int, ...]
    mapping_layers: int = 8
    clamp: float | None = 256.0
    noise: Literal["const", "none"] = "const"
    truncation: float = 1.0
    truncation_cutoff: int | None = None

    def __post_init__(self) -> None:
        if self.resolution != _SMALLEST * 2 ** (len(self.channels) - 1):
            raise ValueError(
                f"channels has {len(self.channels)} widths from 4x4 pixels up, but resolution is "
                f"{self.resolution}: give one width for each power of two."
            )
        if self.noise not in ("const", "none"):
            raise ValueError(f"noise must be const or none, got '{self.noise}'.")
        if not 0 < self.truncation <= 1:
            raise ValueError(f"truncation must be in (0, 1], got {self.truncation}.")

    @property
    def code_dim(self) -> int:
        """Width of the space of directions, which is that of w."""
        return self.style_dim

    @property
    def layers(self) -> int:
        """Number of layers that take a style: two for each resolution."""
        return 2 * len(self.channels)


class StyleGAN2Generator(nn.Module):
    """A StyleGAN2 generator; see the module's text."""

    activation_layer = "code"

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        widths = [config.latent_dim, *[config.style_dim] * config.mapping_layers]
        self.mapping = nn.ModuleList(
            _Linear(inside, outside, rate=_MAPPING_RATE) for inside, outside in pairwise(widths)
        )
        # `w_avg` of the file: truncation draws codes towards it.
        self.register_buffer("mean_style", torch.zeros(config.style_dim))
        self.const = nn.Parameter(torch.randn(config.channels[0], _SMALLEST, _SMALLEST))
        # The one filter for all resampling, in the file once for each layer.
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("filter", torch.outer(taps, taps) / taps.sum() ** 2)
        steps = enumerate(zip((None, *config.channels[:-1]), config.channels, strict=True))
        self.blocks = nn.ModuleList(
            _Block(inside, outside, _SMALLEST * 2**number, config)
            for number, (inside, outside) in steps
        )

    @property
    def truncation(self) -> float:
        """How far codes are drawn towards the mean of w; 1 for not at all."""
        return self.config.truncation

    def code_weights(self) -> Tensor:
        """See `gseg.generators.contract.Generator.code_weights`: w to the styles of all layers."""
        affine = [m.weight for n, m in self.blocks.named_modules() if n.endswith("affine")]
        return torch.cat([weight for weight in affine if isinstance(weight, Tensor)])

    def map(self, z: Tensor) -> Tensor:
        """Bring z (N, latent_dim) to w (N, style_dim), truncated as the config says."""
        # Only the direction of z counts.
        w = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + _EPS)
        for layer in self.mapping:
            w = F.leaky_relu(layer(w), _SLOPE) * _GAIN
        assert isinstance(self.mean_style, Tensor)
        return torch.lerp(self.mean_style, w, self.config.truncation)

    def styles(self, w: Tensor) -> Tensor:
        """Give each layer its style (N, layers, style_dim), from w (N, style_dim) of `map`."""
        styles = w[:, None].expand(-1, self.config.layers, -1)
        cutoff = self.config.truncation_cutoff
        if cutoff is None or cutoff >= self.config.layers or self.config.truncation == 1:
            return styles
        assert isinstance(self.mean_style, Tensor)
        # Layers beyond the cutoff take back the truncation of w, so that a shift of w is 1 / psi
        # times as long in them.
        whole = torch.lerp(self.mean_style, w, 1 / self.config.truncation)
        return torch.cat([styles[:, :cutoff], whole[:, None].expand_as(styles[:, cutoff:])], dim=1)

    def forward(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        """Make pictures (N, 3, R, R), nominally in [-1, 1], from w (N, style_dim); no labels."""
        styles = self.styles(w).unbind(1)
        x = self.const.expand(len(w), -1, -1, -1)
        image: Tensor | None = None
        for number, block in enumerate(self.blocks):
            # The picture of a block takes the style that the next one's first convolution takes.
            first = max(2 * number - 1, 0)
            x, image = block(x, image, styles[first : 2 * number + 2], self.filter)
        assert image is not None
        return image


class _Block(nn.Module):
    """All layers of one resolution, and its picture on top of the smaller one's."""

    def __init__(
        self, inside: int | None, outside: int, resolution: int, config: StyleGAN2Config
    ) -> None:
        super().__init__()
        self.conv0 = None
        if inside is not None:
            self.conv0 = _StyledConv(inside, outside, resolution, config, enlarge=True)
        self.conv1 = _StyledConv(outside, outside, resolution, config, enlarge=False)
        self.to_rgb = _ToRGB(outside, config)

    def forward(
        self, x: Tensor, image: Tensor | None, styles: tuple[Tensor, ...], kernel: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Bring maps and picture of the last resolution to this one."""
        *first, second, last = styles
        if self.conv0 is not None:
            x = self.conv0(x, *first, kernel)
        x = self.conv1(x, second, kernel)
        added = self.to_rgb(x, last)
        return x, added if image is None else _enlarge(image, kernel) + added


class _StyledConv(nn.Module):
    """Modulated 3x3 convolution with demodulation, noise, bias and activation."""

    def __init__(
        self, inside: int, outside: int, resolution: int, config: StyleGAN2Config, *, enlarge: bool
    ) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.noisy = config.noise == "const"
        self.clamp = config.clamp
        self.affine = _Linear(config.style_dim, inside)
        self.weight = nn.Parameter(torch.randn(outside, inside, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outside))
        self.register_buffer("noise", torch.randn(resolution, resolution))
        self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, kernel: Tensor) -> Tensor:
        """Bring x (N, in, H, W) to (N, out, H, W), or to twice that size."""
        style = self.affine(w)
        # Demodulation from the weights alone: the convolution stays one for the whole batch.
        norm = torch.rsqrt(style.square() @ self.weight.square().sum(dim=(2, 3)).T + _EPS)
        x = x * style[:, :, None, None]
        if self.enlarge:
            x = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            x = _smooth(x, kernel)
        else:
            x = F.conv2d(x, self.weight, padding=1)
        offset = self.bias[:, None, None]
        if self.noisy:
            assert isinstance(self.noise, Tensor)
            offset = offset + self.noise * self.noise_strength
        # The activation's gain of sqrt(2) goes in front of it, where it costs nothing.
        x = torch.addcmul(offset * _GAIN, x, (norm * _GAIN)[:, :, None, None])
        x = F.leaky_relu(x, _SLOPE, inplace=True)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class _ToRGB(nn.Module):
    """Modulated 1x1 convolution to the three colours, without demodulation."""

    def __init__(self, inside: int, config: StyleGAN2Config) -> None:
        super().__init__()
        self.clamp = config.clamp
        self.gain = 1 / math.sqrt(inside)
        self.affine = _Linear(config.style_dim, inside)
        self.weight = nn.Parameter(torch.randn(3, inside, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Bring x (N, in, H, W) to (N, 3, H, W)."""
        style = self.affine(w) * self.gain
        image = F.conv2d(x * style[:, :, None, None], self.weight, self.bias)
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)


class _Linear(nn.Module):
    """Linear layer whose stored weights are scaled when used (equalised learning rate)."""

    def __init__(self, inside: int, outside: int, *, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outside, inside) / rate)
        self.bias = nn.Parameter(torch.zeros(outside) if rate != 1 else torch.ones(outside))
        self.rate = rate
        self.gain = rate / math.sqrt(inside)

    def forward(self, x: Tensor) -> Tensor:
        """Bring x (N, in) to (N, out)."""
        return F.linear(x * self.gain, self.weight, self.bias * self.rate)


def _smooth(x: Tensor, kernel: Tensor) -> Tensor:
    """Filter the output of a transposed convolution (N, C, 2H+1, 2W+1) to (N, C, 2H, 2W)."""
    channels = x.shape[1]
    return F.conv2d(x, (kernel * 4).expand(channels, 1, -1, -1), padding=1, groups=channels)


def _enlarge(image: Tensor, kernel: Tensor) -> Tensor:
    """Double the sides of a picture (N, 3, H, W) with the same filter."""
    weight = (kernel * 4).expand(image.shape[1], 1, -1, -1)
    return F.conv_transpose2d(image, weight, stride=2, padding=1, groups=image.shape[1])


def _read(path: Path, stated: family.Stated) -> tuple[family.Stated, Any]:
    check_file(path)
    if is_zipfile(path) or is_safetensors(path):  # another program's, without the numbers
        return family.read_plain(path, stated)
    module = read_stored_module(path, stated.get("checkpoint", {}).get("weights_at", "G_ema"))
    numbers = {**module.state.get("_init_kwargs", {}), **stated.get("config", {})}
    return {**stated, "config": numbers, "checkpoint": {}}, module.tensors()


def _plan(
    stated: family.Stated, tensors: family.Tensors, truncation: family.Truncation | None
) -> family.Plan:
    psi, cutoff = truncation if isinstance(truncation, tuple) else (truncation, None)
    network = StyleGAN2Generator(_config(stated.get("config", {}), tensors, psi, cutoff))
    key_map = family.map_keys(network, _NAMES, lambda _: family.plain)
    # The file repeats the one filter in every layer; ours has it once.
    filters = [
        f"synthesis.b{_SMALLEST * 2**number}.{layer}resample_filter"
        for number in range(len(network.blocks))
        for layer in ("", "conv0.", "conv1.")
        if number > 0 or layer != "conv0."
    ]

    def shared(first: Tensor, *others: Tensor) -> Tensor:
        if not first.is_meta and not all(torch.equal(first, other) for other in others):
            raise ValueError("its layers have different resampling filters; expected one for all.")
        return first

    key_map["filter"] = family.Source(tuple(filters), ((4, 4),) * len(filters), shared)
    return network, key_map


def _config(
    numbers: Mapping[str, Any], tensors: family.Tensors, psi: float | None, cutoff: int | None
) -> StyleGAN2Config:
    """Translate the arguments of stylegan2-ada-pytorch; what is left out is read off the shapes."""
    synthesis = numbers.get("synthesis_kwargs", {})
    for name, found, supported in (
        ("c_dim", numbers.get("c_dim", 0), 0),
        ("img_channels", numbers.get("img_channels", 3), 3),
        ("architecture", synthesis.get("architecture", "skip"), "skip"),
    ):
        if found != supported:
            raise ValueError(f"{name} is {found}; only {supported} is supported.")
    seen, widths = _seen_numbers(tensors)
    known = {**seen, **numbers}
    family.check_told(known, ("z_dim", "w_dim", "img_resolution"), "a StyleGAN2 generator")
    # Without the base, widths are those seen in the file; its first blocks are at the maximum.
    base, most = synthesis.get("channel_base"), synthesis.get("channel_max", 512)
    sides = [_SMALLEST * 2**k for k in range((known["img_resolution"] // 4).bit_length())]
    return StyleGAN2Config(
        latent_dim=known["z_dim"],
        style_dim=known["w_dim"],
        resolution=known["img_resolution"],
        channels=tuple(
            widths.get(side, most) if base is None else min(base // side, most) for side in sides
        ),
        mapping_layers=numbers.get("mapping_kwargs", {}).get("num_layers", known.get("layers", 8)),
        clamp=synthesis.get("conv_clamp"),
        noise=numbers.get("noise_mode", "const"),
        truncation=1.0 if psi is None else psi,
        truncation_cutoff=cutoff,
    )


def _seen_numbers(tensors: family.Tensors) -> tuple[dict[str, int], dict[int, int]]:
    """Read off the shapes what they tell, and the width of each resolution."""
    shapes = family.shapes_of(tensors)
    found = [re.fullmatch(r"synthesis\.b(\d+)\.conv1\.weight", key) for key in shapes]
    widths = {int(match[1]): shapes[match[0]][0] for match in found if match is not None}
    if not widths or "mapping.fc0.weight" not in shapes:
        return {}, widths
    seen = {
        "w_dim": shapes["mapping.fc0.weight"][0],
        "z_dim": shapes["mapping.fc0.weight"][1],
        "img_resolution": max(widths),
        "layers": sum(re.fullmatch(r"mapping\.fc\d+\.weight", key) is not None for key in shapes),
    }
    return seen, widths


FAMILIES: Final = (
    family.Family(
        proper_name="StyleGAN2",
        plan=_plan,
        read=_read,
        truncates=True,
        channels_last=False,
    ),
)
