"""The two networks that learn candidate directions.

Voynov and Babenko 2020, "Unsupervised Discovery of Interpretable Directions in the GAN Latent
Space". The deformator holds the directions. The reconstructor sees a picture and its shifted
version and says along which direction it was shifted and how far: LeNet for small pictures,
ResNet-18 for large ones, each with six input channels.
"""

import torch
from torch import Tensor, nn

from gseg.directions.candidate_config import DeformatorKind, ReconstructorKind

_LENET_UP_TO = 64
_LENET_SMALLEST = 32
_WIDTH = 2
"""LeNet's widths against the original's, as in the official program."""
_NOISE = 0.1


class Deformator(nn.Module):
    """K unit vectors of a code space, made from free parameters.

    Args:
        kind: ``orthogonal``: the first K columns of the exponential of a skew-symmetric matrix;
            ``linear``: free columns, divided by their norms.
        count: Directions K, at most `dim`.
        dim: Width D of codes.
        stream: Gives the start: a random rotation, or the unit matrix with noise.
    """

    def __init__(self, kind: DeformatorKind, count: int, dim: int, stream: torch.Generator) -> None:
        super().__init__()
        self._kind, self._count = kind, count
        if kind == "orthogonal":
            start = torch.randn(dim, dim, generator=stream)
        else:
            start = torch.eye(count, dim) + _NOISE * torch.randn(count, dim, generator=stream)
        self.free = nn.Parameter(start)

    def forward(self) -> Tensor:
        """Give the directions (K, D)."""
        if self._kind == "orthogonal":
            rotation: Tensor = torch.linalg.matrix_exp(self.free - self.free.T)
            return rotation[: self._count]
        columns: Tensor = self.free / self.free.norm(dim=1, keepdim=True)
        return columns


class Reconstructor(nn.Module):
    """Says along which of K directions a picture was shifted, and how far.

    Args:
        kind: ``lenet`` or ``resnet18``.
        count: Directions K.
        stream: Gives the start of all weights.
    """

    def __init__(self, kind: ReconstructorKind, count: int, stream: torch.Generator) -> None:
        super().__init__()
        with torch.device("meta"):
            self.body, width = _lenet() if kind == "lenet" else _resnet18()
            self.number = _head(width, count, deep=kind == "lenet")
            self.length = _head(width, 1, deep=kind == "lenet")
        self.to_empty(device="cpu")
        _initialise(self, stream)

    def forward(self, originals: Tensor, shifted: Tensor) -> tuple[Tensor, Tensor]:
        """Guess from originals and shifted pictures (N, 3, R, R): logits (N, K), lengths (N,)."""
        features = self.body(torch.cat([originals, shifted], dim=1))
        return self.number(features), self.length(features)[:, 0]


def fitting_reconstructor(kind: ReconstructorKind, resolution: int) -> ReconstructorKind:
    """Choose the network for pictures of a size.

    Args:
        kind: ``auto`` or what was asked for.
        resolution: Side in pixels.

    Returns:
        ``lenet`` or ``resnet18``.

    Raises:
        ValueError: LeNet was asked for and the pictures are too small for it.
    """
    if kind == "auto":
        return "lenet" if _LENET_SMALLEST <= resolution <= _LENET_UP_TO else "resnet18"
    if kind == "lenet" and resolution < _LENET_SMALLEST:
        raise ValueError(
            f"LeNet needs pictures of {_LENET_SMALLEST} px or more, these have {resolution}: take "
            "resnet18."
        )
    return kind


def _lenet() -> tuple[nn.Module, int]:
    widths = [6, 3 * _WIDTH, 8 * _WIDTH, 60 * _WIDTH]
    layers: list[nn.Module] = []
    for number in range(3):
        outside = widths[number + 1]
        layers += [nn.Conv2d(widths[number], outside, 5), nn.BatchNorm2d(outside), nn.ReLU()]
        if number < 2:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), widths[-1]


def _resnet18() -> tuple[nn.Module, int]:
    from torchvision.models import resnet18  # takes a second to import

    network = resnet18(weights=None)
    width = network.fc.in_features
    network.conv1 = nn.Conv2d(6, 64, 7, stride=2, padding=3, bias=False)
    network.fc = nn.Identity()
    return network, width


def _head(width: int, outputs: int, *, deep: bool) -> nn.Module:
    if not deep:
        return nn.Linear(width, outputs)
    hidden = 42 * _WIDTH
    return nn.Sequential(
        nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


@torch.no_grad()
def _initialise(network: nn.Module, stream: torch.Generator) -> None:
    """Draw weights as PyTorch and torchvision do by default, but from the given stream."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.kaiming_normal_(
                module.weight, mode="fan_out", nonlinearity="relu", generator=stream
            )
        elif isinstance(module, nn.Conv2d | nn.Linear):
            bound = module.weight[0].numel() ** -0.5
            for parameter in module.parameters(recurse=False):
                parameter.uniform_(-bound, bound, generator=stream)
