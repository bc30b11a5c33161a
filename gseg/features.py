"""Feature networks for distances between sets of pictures.

The distance of a generator from its training pictures is measured in the features of a network
that was trained to classify such pictures (Heusel et al. 2017). For the embedded scenes that is a
small classifier of the ten scene classes, whose weights are shipped with the package.
"""

from importlib import resources
from typing import Final, Protocol

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from gseg.images import from_uint8

SCENES_FEATURES: Final = "scenes-features-v1"
"""Name of the shipped weights; other weights or another network must get another name."""

_CHANNELS: Final = (24, 48, 64, 64)
_CLASSES: Final = 10
_BATCH: Final = 256


class FeatureExtractor(Protocol):
    """Turns pictures into vectors."""

    @property
    def name(self) -> str:
        """Say which network with which weights; part of every number computed with it."""
        ...

    @property
    def dim(self) -> int:
        """Length D of a vector."""
        ...

    def __call__(self, pictures: Tensor) -> Tensor:
        """Compute features.

        Args:
            pictures: (N, 3, H, W) uint8.

        Returns:
            (N, D) float32 on the CPU.
        """
        ...


class ScenesNetwork(nn.Module):
    """Four convolutions, their spatial mean as 64 features, and a linear classifier: 77 k weights.

    Args:
        num_classes: Classes of the classifier.
    """

    def __init__(self, num_classes: int = _CLASSES) -> None:
        super().__init__()
        inputs = (3, *_CHANNELS[:-1])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1, bias=False)
            for a, b in zip(inputs, _CHANNELS, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in _CHANNELS)
        self.classifier = nn.Linear(_CHANNELS[-1], num_classes)

    def features(self, images: Tensor) -> Tensor:
        """Compute the mean over space of the last convolution's activations.

        Args:
            images: (N, 3, H, W) float32 in [-1, 1], sides at least 8.

        Returns:
            (N, 64) float32, non-negative.
        """
        x = images
        for depth, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            x = F.relu(norm(convolution(F.max_pool2d(x, 2) if depth else x)))
        return x.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Classify pictures.

        Args:
            images: (N, 3, H, W) float32 in [-1, 1].

        Returns:
            (N, num_classes) logits.
        """
        logits: Tensor = self.classifier(self.features(images))
        return logits


class NetworkFeatures:
    """A scenes network as a `FeatureExtractor`, in fixed batches on one device.

    Args:
        network: Put into eval mode and frozen.
        name: Says which weights these are.
        device: Where to compute.
    """

    def __init__(
        self, network: ScenesNetwork, name: str, *, device: str | torch.device = "cpu"
    ) -> None:
        self.name = name
        self.dim = network.classifier.in_features
        self._device = torch.device(device)
        network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Compute features.

        Args:
            pictures: (N, 3, H, W) uint8.

        Returns:
            (N, 64) float32 on the CPU.

        Raises:
            ValueError: The pictures are not bytes with three channels.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.dtype != torch.uint8:
            raise ValueError(
                f"Features need pictures (N, 3, H, W) of uint8, got {tuple(pictures.shape)} of "
                f"{pictures.dtype}; gseg.images.to_uint8 converts."
            )
        parts = [
            self.network.features(from_uint8(part.to(self._device))).cpu()
            for part in torch.split(pictures, _BATCH)
        ]
        return torch.cat(parts) if parts else torch.empty(0, self.dim)


def scenes_features(*, device: str | torch.device = "cpu") -> NetworkFeatures:
    """Load the shipped feature network of scenes.

    Args:
        device: Where to compute.

    Returns:
        The extractor `scenes-features-v1` with 64 features.
    """
    file = resources.files("gseg") / "scenes" / "weights" / "features.safetensors"
    weights = {name: tensor.float() for name, tensor in load(file.read_bytes()).items()}
    network = ScenesNetwork()
    network.load_state_dict(weights, strict=True)
    return NetworkFeatures(network, SCENES_FEATURES, device=device)
