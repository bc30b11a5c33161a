"""What a feature network offers, and how any network becomes one."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn

from gseg.exactness import exact
from gseg.transfers import send, start_copy


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


class NetworkFeatures:
    """Any backbone as a `FeatureExtractor`, in fixed batches on one device.

    Args:
        network: Put into eval mode and frozen.
        name: Says which network with which weights this is: numbers of other features get
            another name.
        dim: Length D of a vector.
        compute: Turns (N, 3, H, W) uint8 on the network's device into (N, D); the network itself
            if None.
        device: Where to compute.
        batch: Pictures computed together.
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        *,
        dim: int,
        compute: Callable[[Tensor], Tensor] | None = None,
        device: str | torch.device = "cpu",
        batch: int = 64,
    ) -> None:
        self.name, self.dim = name, dim
        self._device, self._batch = torch.device(device), batch
        network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.eval().requires_grad_(False)
        self._compute = network if compute is None else compute

    def __call__(self, pictures: Tensor) -> Tensor:
        """Compute features; see `FeatureExtractor` and `begin`."""
        return self.begin(pictures)()

    @torch.no_grad()
    def begin(self, pictures: Tensor) -> Callable[[], Tensor]:
        """Begin to compute features.

        Args:
            pictures: (N, 3, H, W) uint8, on the CPU or the network's device.

        Returns:
            A function that waits for them, and gives (N, D) float32 on the CPU.

        Raises:
            ValueError: The pictures are not bytes with three channels, or the network gave
                something else than one vector of length D for each.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.dtype != torch.uint8:
            raise ValueError(
                f"Features need pictures (N, 3, H, W) of uint8, got {tuple(pictures.shape)} of "
                f"{pictures.dtype}; gseg.images.to_uint8 converts."
            )
        parts = [self._features(part) for part in torch.split(pictures, self._batch) if len(part)]
        if not parts:
            return lambda: torch.empty(0, self.dim)
        return lambda: torch.cat([arrived() for arrived in parts])

    def _features(self, pictures: Tensor) -> Callable[[], Tensor]:
        with exact():  # features are compared with those of other machines
            features = self._compute(send(pictures, self._device))
        if features.shape != (len(pictures), self.dim):
            raise ValueError(
                f"{self.name} gave {tuple(features.shape)} for {len(pictures)} pictures, expected "
                f"({len(pictures)}, {self.dim}): pool over space, and check dim."
            )
        return start_copy(features.float())


def begin_features(extractor: FeatureExtractor, pictures: Tensor) -> Callable[[], Tensor]:
    """Begin to compute features, as far as an extractor can do that without being waited for.

    Args:
        extractor: Any.
        pictures: (N, 3, H, W) uint8.

    Returns:
        A function that gives them: (N, D) float32 on the CPU.
    """
    if isinstance(extractor, NetworkFeatures):
        return extractor.begin(pictures)
    found = extractor(pictures)
    return lambda: found
