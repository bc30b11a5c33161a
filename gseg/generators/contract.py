"""What every generator offers: a card that describes it and two calls, `code` and the forward.

A direction lives in the space of `code(z)`, so a shifted picture is
``generator(generator.code(z) + epsilon * v, y)`` whatever the family.
"""

import itertools
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class GeneratorCard:
    """Facts about one generator.

    Attributes:
        name: Catalogue name, ``family.dataset`` in lower case, such as ``sagan.imagenet128``.
        family: The paper's name for the method, such as ``SAGAN``.
        architecture: The module that builds it, such as ``resnet``.
        dataset: What it was trained on.
        resolution: Side of its pictures in pixels.
        num_classes: 0 where labels are ignored.
        latent_dim: Width of z.
        code_dim: Width of the space of directions; equal to latent_dim except for StyleGAN2.
        supervision: Whether its training used class labels.
        licence: Licence of the weights, as published.
        paper: Citation.
        snapshot_of: Name of the generator in whose training these weights were kept, if they are
            not those of its end.
        published_fid: FID as published, if a source is known; of an embedded generator, the
            Fréchet distance that its record states.
        fid_protocol: How and by whom that FID was measured.
        statistics: Which batch statistics and weights it is evaluated with.
        class_sampling: How labels are drawn for it.
        weights: Where its weights are published, and under which file name.
        address: Address of the weights file, if there is a direct one.
    """

    name: str
    family: str
    architecture: str
    dataset: str
    resolution: int
    num_classes: int
    latent_dim: int
    code_dim: int
    supervision: Literal["none", "class labels"] = "none"
    licence: str = ""
    paper: str = ""
    snapshot_of: str = ""
    published_fid: float | None = None
    fid_protocol: str = ""
    statistics: str = ""
    class_sampling: str = ""
    weights: str = ""
    address: str = ""


@runtime_checkable
class LatentMapping(Protocol):
    """A network whose directions live behind a mapping (StyleGAN2's w)."""

    def map(self, z: Tensor) -> Tensor:
        """Bring z (N, latent_dim) to the space of directions (N, code_dim)."""
        ...


class Generator(nn.Module):
    """A frozen network with its card.

    Args:
        network: Called as ``network(code, y)``; gives (N, 3, R, R).
        card: Its description.
    """

    def __init__(self, network: nn.Module, card: GeneratorCard) -> None:
        super().__init__()
        self.network = network
        self.card = card
        self.eval()
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> "Generator":
        """Stay in evaluation mode: a generator is never trained here."""
        super().train(False)
        return self

    @property
    def device(self) -> torch.device:
        """Where the weights are; the CPU for a network without any."""
        tensors = itertools.chain(self.network.parameters(), self.network.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def code(self, z: Tensor) -> Tensor:
        """Bring latents to the space in which directions live.

        Args:
            z: (N, latent_dim) float32.

        Returns:
            (N, code_dim): z itself, except for networks with a mapping.
        """
        if not isinstance(self.network, LatentMapping):
            return z
        # A code is what directions are added to: it keeps its precision under autocast.
        with torch.autocast(z.device.type, enabled=False):
            return self.network.map(z)

    def forward(self, code: Tensor, y: Tensor | None = None) -> Tensor:
        """Make pictures.

        Args:
            code: (N, code_dim) float32, from `code`, shifted or not.
            y: (N,) int64 class labels; ignored when the card's num_classes is 0.

        Returns:
            (N, 3, R, R) float32, nominally in [-1, 1].

        Raises:
            ValueError: The code has the wrong width, or labels are missing or out of range.
        """
        card = self.card
        if code.ndim != 2 or code.shape[1] != card.code_dim:
            raise ValueError(
                f"{card.name} takes codes of shape (N, {card.code_dim}), got {tuple(code.shape)}."
            )
        y = self._check_labels(y, len(code))
        pictures: Tensor = self.network(code, y)
        return pictures.float()

    def _check_labels(self, y: Tensor | None, count: int) -> Tensor | None:
        """Refuse labels that do not fit; drop them where there are no classes."""
        classes = self.card.num_classes
        if classes == 0:
            return None
        if y is None or y.shape != (count,):
            got = "none" if y is None else f"shape {tuple(y.shape)}"
            raise ValueError(
                f"{self.card.name} is conditional: give y, ({count},) int64 in [0, {classes}), "
                f"got {got}."
            )
        # Only on the CPU: elsewhere, looking at values would wait for the device.
        if y.device.type == "cpu" and count > 0 and not 0 <= int(y.min()) <= int(y.max()) < classes:
            raise ValueError(
                f"{self.card.name} has the classes 0 to {classes - 1}, got labels from "
                f"{int(y.min())} to {int(y.max())}."
            )
        return y
