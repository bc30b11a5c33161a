"""The layers that the residual generators share.

Batch normalisation whose gain and bias depend on a condition (de Vries et al. 2017), self-attention
over positions (Zhang et al. 2019, "Self-Attention GANs"), and the residual block that doubles the
resolution (Miyato et al. 2018, "Spectral Normalization for GANs"). Sizes and constants are those of
StudioGAN, whose checkpoints the papers use.

Spectral normalisation is not in here: training adds it from outside as a parametrisation, and
loading divides the weights by their spectral norm once.
"""

from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

BOTTOM_WIDTH: Final = 4
NORM_EPS: Final = 1e-4
_Key = tuple[int, int, torch.device, torch.dtype]


@dataclass(frozen=True, kw_only=True, slots=True)
class ResidualConfig:
    """Numbers that make a residual generator.

    Attributes:
        latent_dim: Width of z.
        resolution: Side of the pictures, 4 * 2**(number of doublings).
        channels: Widths from the 4x4 map to full resolution, one for each.
        num_classes: Classes; 0 for none.
    """

    latent_dim: int
    resolution: int
    channels: tuple[int, ...]
    num_classes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_sizes(self.resolution, self.channels, latent_dim=self.latent_dim)
        if self.num_classes < 0:
            raise ValueError(f"num_classes must be 0 or more, got {self.num_classes}.")


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation with a learnt gain and bias that takes, and ignores, a condition."""

    def __init__(self, channels: int, *, eps: float = NORM_EPS) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Normalise x (N, channels, H, W); the condition is not looked at."""
        return super().forward(x)


class ConditionalBatchNorm(nn.Module):
    """Batch normalisation with gain 1 + g(condition) and bias b(condition).

    Args:
        channels: Channels of the maps.
        gain: Gives (N, channels) from the condition: a table of classes or a linear layer.
        bias: The same for the bias.
    """

    def __init__(self, channels: int, gain: nn.Module, bias: nn.Module) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=NORM_EPS, affine=False)
        self.gain = gain
        self.bias = bias

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Normalise x (N, channels, H, W) and scale it by its condition's gain and bias."""
        gain = 1 + self.gain(condition)
        bias = self.bias(condition)
        if self.training:
            x = self.norm(x)
        else:
            # The normalisation folded into gain and bias: one pass over the maps instead of two.
            mean, variance = self.norm.running_mean, self.norm.running_var
            assert mean is not None
            assert variance is not None
            gain = gain * torch.rsqrt(variance + self.norm.eps)
            bias = bias - mean * gain
        gain, bias = (each.to(x.dtype)[:, :, None, None] for each in (gain, bias))
        if not torch.is_grad_enabled():
            return torch.addcmul(bias, x, gain)
        modulated: Tensor = _Modulation.apply(x, gain, bias)
        return modulated


class Table(nn.Embedding):
    """A vector for each class. Without memory of its own it is left uninitialised."""

    def reset_parameters(self) -> None:
        """Draw the weights, where there are any."""
        # Without memory, PyTorch would import its compiler to draw, for a second and more.
        if not self.weight.is_meta:
            super().reset_parameters()


class UpsampledConv2d(nn.Conv2d):
    """Nearest upsampling by two, then a 3x3 convolution.

    The merged kernel of a frozen layer is kept for the next call.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)
        self._merged: tuple[_Key, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Bring x (N, in_channels, H, W) to (N, out_channels, 2 H, 2 W)."""
        if self.training:
            return super().forward(upsample(x))
        # Both as one transposed convolution with a 4x4 kernel: the same sums with 16 instead of 36
        # products for each input pixel.
        return F.conv_transpose2d(x, self._kernel(), self.bias, stride=2, padding=1)

    def _kernel(self) -> Tensor:
        """Give the 4x4 kernel, from the last call if the frozen weight is still the same."""
        weight = self._parameters.get("weight")
        if weight is None or weight.requires_grad or weight.is_inference():
            return merge_upsampling(self.weight)
        if torch.compiler.is_compiling():
            return merge_upsampling(weight) if self._merged is None else self._merged[1]
        key = (weight.data_ptr(), weight._version, weight.device, weight.dtype)
        if self._merged is None or self._merged[0] != key:
            with torch.inference_mode(False), torch.no_grad():
                self._merged = (key, merge_upsampling(weight))
        return self._merged[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_merged": None}


class SelfAttention(nn.Module):
    """Attention of every position to the 2x2-pooled map, added with a learnt weight.

    Zhang et al. 2019, section 3; the logits are not scaled. Queries and keys have channels / 8
    channels, values channels / 2.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, values = max(channels // 8, 1), max(channels // 2, 1)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, values, 1, bias=False)
        self.out = nn.Conv2d(values, channels, 1, bias=False)
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Attend within x (N, channels, H, W); the condition is not looked at."""
        query = self.query(x).flatten(2).transpose(1, 2)
        key = F.max_pool2d(self.key(x), 2).flatten(2).transpose(1, 2)
        value = F.max_pool2d(self.value(x), 2).flatten(2).transpose(1, 2)
        attended = _attend(query, key, value)
        maps = attended.transpose(1, 2).reshape(len(x), -1, *x.shape[2:])
        added: Tensor = x + self.weight * self.out(maps)
        return added


class UpsamplingBlock(nn.Module):
    """Residual block that doubles the resolution.

    ``conv2(relu(norm2(conv1(up(relu(norm1(x))))))) + up(skip(x))``.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        norm1: Called with (maps, condition), for in_channels.
        norm2: The same for out_channels.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm1: nn.Module, norm2: nn.Module
    ) -> None:
        super().__init__()
        self.norm1 = norm1
        self.conv1 = UpsampledConv2d(in_channels, out_channels)
        self.norm2 = norm2
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Bring x (N, in_channels, H, W) to (N, out_channels, 2 H, 2 W)."""
        h = self.conv1(F.relu(self.norm1(x, condition), inplace=True))
        h = self.conv2(F.relu(self.norm2(h, condition), inplace=True))
        # The skip's 1x1 convolution before the upsampling: the same at a quarter of the cost.
        return add_upsampled(h, self.skip(x))


def upsample(x: Tensor) -> Tensor:
    """Double the sides of x (N, C, H, W) by repeating its pixels."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def add_upsampled(maps: Tensor, small: Tensor) -> Tensor:
    """Add ``upsample(small)`` (N, C, H, W) in place to maps (N, C, 2 H, 2 W)."""
    if not torch.is_grad_enabled():
        return _add_to_cells(maps, small)
    added: Tensor = _AddUpsampled.apply(maps, small)
    return added


def _add_to_cells(maps: Tensor, small: Tensor) -> Tensor:
    batch, channels, height, width = small.shape
    cells = maps.view(batch, channels, height, 2, width, 2)
    cells += small[:, :, :, None, :, None]
    return maps


class _AddUpsampled(torch.autograd.Function):
    """See `add_upsampled`; its gradient sums four pixels as PyTorch's does."""

    @staticmethod
    def forward(ctx: FunctionCtx, maps: Tensor, small: Tensor) -> Tensor:
        ctx.mark_dirty(maps)
        return _add_to_cells(maps, small)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        # PyTorch's own sum over axes 3 and 5 of six takes ten times as long: a tenth of a search
        # for a direction.
        top, bottom = gradient[:, :, ::2], gradient[:, :, 1::2]
        upper = top[..., ::2] + top[..., 1::2]
        return gradient, upper.add_(bottom[..., ::2] + bottom[..., 1::2])


class _Modulation(torch.autograd.Function):
    """``addcmul(bias, x, gain)`` with the gradients that are asked for, and no pass beside them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, gain)
        return torch.addcmul(bias, x, gain)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x, gain = ctx.saved_tensors
        of_x, of_gain, of_bias = ctx.needs_input_grad
        return (
            gradient * gain if of_x else None,
            (gradient * x).sum((2, 3), keepdim=True) if of_gain else None,
            gradient.sum((2, 3), keepdim=True) if of_bias else None,
        )


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend without scaling."""
    # On the CPU by hand: PyTorch's function does the same products there, and looks for rows that a
    # mask has emptied, which costs as much as the softmax.
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, scale=1.0)
    return torch.softmax(query @ key.transpose(1, 2), dim=-1) @ value


def merge_upsampling(weight: Tensor) -> Tensor:
    """Merge nearest upsampling by two and a 3x3 convolution into one transposed convolution.

    Args:
        weight: (out, in, 3, 3).

    Returns:
        (in, out, 4, 4), for `conv_transpose2d` with stride 2 and padding 1.
    """
    flipped = weight.flip(2, 3).transpose(0, 1)
    wide = F.pad(flipped, (0, 1, 0, 0)) + F.pad(flipped, (1, 0, 0, 0))
    merged = F.pad(wide, (0, 0, 0, 1)) + F.pad(wide, (0, 0, 1, 0))
    last = weight.is_contiguous(memory_format=torch.channels_last)
    return merged.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def initialise_orthogonally(module: nn.Module) -> None:
    """Set the weights of all linear layers, convolutions and tables orthogonal, biases zero.

    Layers without memory of their own stay as they are, see `Table`.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding) and not layer.weight.is_meta:
            nn.init.orthogonal_(layer.weight)
            if not isinstance(layer, nn.Embedding) and layer.bias is not None:
                nn.init.zeros_(layer.bias)


def check_sizes(resolution: int, channels: tuple[int, ...], **counts: int) -> None:
    """Check the numbers of a residual network.

    Args:
        resolution: Side of the pictures.
        channels: Widths from the 4x4 map to full resolution, or the other way.
        **counts: Further numbers that must be positive.

    Raises:
        ValueError: A number is not positive, or the widths do not lead to the resolution.
    """
    for name, value in {**counts, "every width in channels": min(channels, default=0)}.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    reached = BOTTOM_WIDTH * 2 ** (len(channels) - 1)
    if resolution != reached:
        raise ValueError(
            f"channels has {len(channels)} widths, from 4x4 pixels to {reached}x{reached}, but "
            f"resolution is {resolution}: give one width for each doubling and one for 4x4."
        )
