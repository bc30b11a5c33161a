"""The Inception network that the Fréchet inception distance is defined with.

Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", as the graph
`inception-2015-12-05` of TensorFlow has it, which Heusel et al. 2017 took: average pooling leaves
the padding out of the mean, and the last block pools by the maximum. Weights have the names of
their public conversion to PyTorch, which pytorch-fid, torch-fidelity and torchmetrics read.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES: Final = 2048
SIDE: Final = 299
"""Side in pixels of what the network sees."""

_EPSILON: Final = 1e-3
_CLASSES: Final = 1008


class InceptionNetwork(nn.Module):
    """The whole network, with the classifier that its weights file contains: 23.9 M weights."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = _Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = _Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = _Unit(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = _Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = _Unit(80, 192, 3)
        self.Mixed_5b = _Fine(192, pooled=32)
        self.Mixed_5c = _Fine(256, pooled=64)
        self.Mixed_5d = _Fine(288, pooled=64)
        self.Mixed_6a = _FineToMiddle()
        self.Mixed_6b = _Middle(128)
        self.Mixed_6c = _Middle(160)
        self.Mixed_6d = _Middle(160)
        self.Mixed_6e = _Middle(192)
        self.Mixed_7a = _MiddleToCoarse()
        self.Mixed_7b = _Coarse(1280, pool="mean")
        self.Mixed_7c = _Coarse(FEATURES, pool="max")
        self.fc = nn.Linear(FEATURES, _CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features, the mean over space of the last block.

        Args:
            images: (N, 3, 299, 299) float32, about [-1, 1]; see `like_tensorflow`.

        Returns:
            (N, 2048) float32, non-negative.
        """
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(x, 3, stride=2))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_7a(self.Mixed_6e(self.Mixed_6d(x)))
        x = self.Mixed_7c(self.Mixed_7b(x))
        features: Tensor = x.mean((2, 3))
        return features


def like_tensorflow(pictures: Tensor) -> Tensor:
    """Bring pictures to the network's size as the original graph and torch-fidelity do.

    Bilinear, with the corner of a pixel, not its centre, as its place, and without antialiasing;
    (x - 128) / 128.

    Args:
        pictures: (N, 3, H, W) uint8.

    Returns:
        (N, 3, 299, 299) float32.
    """
    x = pictures.float()
    for axis in (2, 3):
        size = x.shape[axis]
        place = torch.arange(SIDE, dtype=torch.float32, device=x.device) * (size / SIDE)
        low = place.long()
        shape = (-1, 1) if axis == 2 else (-1,)
        beside = x.index_select(axis, (low + 1).clamp_max(size - 1))
        x = torch.lerp(x.index_select(axis, low), beside, (place - low).view(shape))
    return (x - 128) / 128


def like_pytorch_fid(pictures: Tensor) -> Tensor:
    """Bring pictures to the network's size as pytorch-fid does: half-pixel centres, 2 x / 255 - 1.

    Args:
        pictures: (N, 3, H, W) uint8.

    Returns:
        (N, 3, 299, 299) float32.
    """
    x = F.interpolate(pictures.float() / 255, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return 2 * x - 1


class _Unit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _row(inputs: int, outputs: int, length: int) -> _Unit:
    return _Unit(inputs, outputs, (1, length), padding=(0, length // 2))


def _column(inputs: int, outputs: int, length: int) -> _Unit:
    return _Unit(inputs, outputs, (length, 1), padding=(length // 2, 0))


def _mean_pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _Fine(nn.Module):
    """35 x 35: four branches."""

    def __init__(self, inputs: int, *, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = _Unit(inputs, 64, 1)
        self.branch5x5_1 = _Unit(inputs, 48, 1)
        self.branch5x5_2 = _Unit(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = _Unit(inputs, 64, 1)
        self.branch3x3dbl_2 = _Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Unit(96, 96, 3, padding=1)
        self.branch_pool = _Unit(inputs, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        wide = self.branch5x5_2(self.branch5x5_1(x))
        return torch.cat([self.branch1x1(x), wide, double, self.branch_pool(_mean_pool(x))], 1)


class _FineToMiddle(nn.Module):
    """35 x 35 to 17 x 17."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3 = _Unit(288, 384, 3, stride=2)
        self.branch3x3dbl_1 = _Unit(288, 64, 1)
        self.branch3x3dbl_2 = _Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = _Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class _Middle(nn.Module):
    """17 x 17: 7 x 7 convolutions as rows and columns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch1x1 = _Unit(768, 192, 1)
        self.branch7x7_1 = _Unit(768, width, 1)
        self.branch7x7_2 = _row(width, width, 7)
        self.branch7x7_3 = _column(width, 192, 7)
        self.branch7x7dbl_1 = _Unit(768, width, 1)
        self.branch7x7dbl_2 = _column(width, width, 7)
        self.branch7x7dbl_3 = _row(width, width, 7)
        self.branch7x7dbl_4 = _column(width, width, 7)
        self.branch7x7dbl_5 = _row(width, 192, 7)
        self.branch_pool = _Unit(768, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(_mean_pool(x))], 1)


class _MiddleToCoarse(nn.Module):
    """17 x 17 to 8 x 8."""

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1 = _Unit(768, 192, 1)
        self.branch3x3_2 = _Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1 = _Unit(768, 192, 1)
        self.branch7x7x3_2 = _row(192, 192, 7)
        self.branch7x7x3_3 = _column(192, 192, 7)
        self.branch7x7x3_4 = _Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x)))
        parts = [self.branch3x3_2(self.branch3x3_1(x)), self.branch7x7x3_4(wide)]
        return torch.cat([*parts, F.max_pool2d(x, 3, stride=2)], 1)


class _Coarse(nn.Module):
    """8 x 8: branches that fork once more."""

    def __init__(self, inputs: int, *, pool: str) -> None:
        super().__init__()
        self._pool = pool
        self.branch1x1 = _Unit(inputs, 320, 1)
        self.branch3x3_1 = _Unit(inputs, 384, 1)
        self.branch3x3_2a = _row(384, 384, 3)
        self.branch3x3_2b = _column(384, 384, 3)
        self.branch3x3dbl_1 = _Unit(inputs, 448, 1)
        self.branch3x3dbl_2 = _Unit(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = _row(384, 384, 3)
        self.branch3x3dbl_3b = _column(384, 384, 3)
        self.branch_pool = _Unit(inputs, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = _mean_pool(x) if self._pool == "mean" else F.max_pool2d(x, 3, 1, padding=1)
        forks = [self.branch3x3_2a(single), self.branch3x3_2b(single)]
        forks += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([self.branch1x1(x), *forks, self.branch_pool(pooled)], 1)
