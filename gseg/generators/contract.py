"""What every generator offers: a card that describes it and two calls, `code` and the forward.

A direction lives in the space of `code(z)`, so a shifted picture is
``generator(generator.code(z) + epsilon * v, y)`` whatever the family. Sampling runs the forward
under a `ForwardSetting`, which is part of what the samples are.
"""

import itertools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import torch
from torch import Tensor, nn

from gseg.exactness import exact
from gseg.generators.cards import GeneratorCard
from gseg.storage.digests import since

Forward = Callable[[Tensor, Tensor | None], Tensor]


class Generator(nn.Module):
    """A frozen network with its card.

    A network may have, beside its forward: ``map(z)``, which brings latents to the space of
    directions; ``truncation``, the number with which it was loaded; and ``activation_layer`` and
    ``code_weights()``, from which candidate directions are made.

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

    @property
    def truncation(self) -> float:
        """The truncation with which it was loaded; 1 for none."""
        return float(getattr(self.network, "truncation", 1.0))

    @property
    def activation_layer(self) -> str:
        """The first module whose activations see the whole code and are not linear in it.

        Its name in the network; ``code`` where directions are best sought in the codes themselves;
        empty where the architecture is not known.
        """
        return str(getattr(self.network, "activation_layer", ""))

    def code_weights(self) -> Tensor | None:
        """Collect the weights that act on the code directly.

        Returns:
            (F, code_dim): one row for each output of these layers, one column for each coordinate
            of codes; None where the architecture is not known.
        """
        collect: Callable[[], Tensor | None] = getattr(self.network, "code_weights", lambda: None)
        return collect()

    def code(self, z: Tensor) -> Tensor:
        """Bring latents to the space in which directions live.

        Args:
            z: (N, latent_dim) float32.

        Returns:
            (N, code_dim): z itself, except for networks with a mapping.
        """
        mapping: Callable[[Tensor], Tensor] | None = getattr(self.network, "map", None)
        if mapping is None:
            return z
        # A code is what directions are added to: it keeps its precision under autocast.
        with torch.autocast(z.device.type, enabled=False):
            return mapping(z)

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
        self.check_code(code)
        made = self.network(code, self._check_labels(y, len(code)))
        if not isinstance(made, Tensor):  # as networks do that also give their codes
            (made,) = pictures_in(made, self.card.resolution)
        pictures: Tensor = made
        return pictures.float()

    def check_code(self, code: Tensor) -> None:
        """Refuse codes of another shape than (N, code_dim).

        Raises:
            ValueError: It is another one.
        """
        name, width = self.card.name, self.card.code_dim
        if code.ndim != 2 or code.shape[1] != width:
            raise ValueError(f"{name} takes codes of shape (N, {width}), got {tuple(code.shape)}.")

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
        low, high = map(int, y.aminmax()) if y.device.type == "cpu" and count else (0, 0)
        if not 0 <= low <= high < classes:
            raise ValueError(
                f"{self.card.name} has the classes 0 to {classes - 1}, got labels from {low} to "
                f"{high}."
            )
        return y


def pictures_in(made: object, side: int) -> list[Tensor]:
    """Find the pictures among several things that a network gave.

    Args:
        made: A tuple, list or mapping.
        side: Of the pictures.

    Returns:
        The tensors of the form (N, 3, side, side).
    """
    if isinstance(made, Mapping):
        made = list(made.values())
    if not isinstance(made, tuple | list):
        return []
    form = (3, side, side)
    return [each for each in made if isinstance(each, Tensor) and each.shape[1:] == form]


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardSetting:
    """A way to run a frozen generator.

    Attributes:
        precision: Of the forward pass; pictures come out as float32 in any case.
        compiled: Whether the network goes through `torch.compile`.
        tf32: Whether a GPU may round float32 to TensorFloat-32, as PyTorch allows convolutions
            unless it is told otherwise; see `gseg.exactness`.
    """

    precision: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False
    tf32: bool = since("0.1", True)

    def rounding(self) -> AbstractContextManager[None]:
        """Make PyTorch round as the setting says, in a ``with`` block."""
        return nullcontext() if self.tf32 else exact()


# The fastest setting under which at least 99.5 % of the mask pixels and 99 % of the filters' accept
# decisions equal those of float32, by `benchmarks/generators.py`. It is chosen by this table and
# never by timing when samples are drawn: it changes bits, so it is part of what the samples are.
SAMPLING: Final[Mapping[str, ForwardSetting]] = MappingProxyType(
    {
        # One core with AMX, 4,096 candidates of each of four embedded generators: bfloat16 keeps
        # 99.8 % of the mask pixels, but 98.7 to 99.1 % of the accept decisions. Compiled forwards
        # of 64 pictures take 1.33 (BigGAN) and 1.12 (GGAN) of the plain ones' time.
        "cpu": ForwardSetting(),
        # The exact setting. On an H100 with TensorFloat-32, 23 of the 24 published checkpoints
        # miss the tolerance of their public programs' outputs.
        "cuda": ForwardSetting(tf32=False),
    }
)


def sampling_setting(device: torch.device | str) -> ForwardSetting:
    """Look up the setting of a kind of device; one that the table leaves out runs in float32."""
    return SAMPLING.get(torch.device(device).type, ForwardSetting())


def forward_with(generator: Generator, setting: ForwardSetting) -> Forward:
    """Give a generator's forward under a setting.

    Returns:
        A call like the generator's own: code (N, code_dim) and y (N,) or None to pictures
        (N, 3, R, R) float32.
    """
    call: Forward = torch.compile(generator) if setting.compiled else generator
    narrow = setting.precision == "bfloat16"
    if setting.tf32 and not narrow:
        return call

    def set_forward(code: Tensor, y: Tensor | None) -> Tensor:
        autocast = torch.autocast(code.device.type, torch.bfloat16, enabled=narrow)
        with setting.rounding(), autocast:
            return call(code, y)

    return set_forward
