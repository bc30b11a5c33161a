"""The small classifier of scenes whose weights are shipped with the package."""

from importlib import resources
from typing import Final

import torch
import torch.nn.functional as F
from safetensors.torch import load
from torch import Tensor, nn

from gseg.features.named import SCENES_FEATURES
from gseg.features.networks import NetworkFeatures
from gseg.images import from_uint8

_CHANNELS: Final = (24, 48, 64, 64)
_CLASSES: Final = 10
_BATCH: Final = 256


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

        Pictures are (N, 3, H, W) float32 in [-1, 1], sides at least 8; features (N, 64),
        non-negative.
        """
        x, last = images, len(self.norms) - 1
        for depth, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            x = norm(convolution(x))
            # Before the rectification, which gives the same, and has a quarter to do then.
            x = F.relu(x if depth == last else F.max_pool2d(x, 2), inplace=True)
        return x.mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Classify pictures (N, 3, H, W) in [-1, 1]: logits (N, num_classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def scenes_features(*, device: str | torch.device = "cpu") -> NetworkFeatures:
    """Load the shipped feature network of scenes, `scenes-features-v1` with 64 features."""
    file = resources.files("gseg") / "scenes" / "weights" / "features.safetensors"
    weights = {name: tensor.float() for name, tensor in load(file.read_bytes()).items()}
    network = ScenesNetwork()
    network.load_state_dict(weights, strict=True)
    return NetworkFeatures(
        network,
        SCENES_FEATURES,
        dim=_CHANNELS[-1],
        compute=lambda pictures: network.features(from_uint8(pictures)),
        device=device,
        batch=_BATCH,
    )
