"""Encoders for adaptation (Voynov et al. 2021, section 3.3): shipped ones, or any function.

A function of the user's own takes pictures (N, 3, R, R) float32 in [-1, 1] and gives latents
(N, latent_dim) of its generator.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from gseg.exactness import exact
from gseg.generators.contract import GeneratorCard
from gseg.generators.encoders import Encoder, list_encoders, load_encoder
from gseg.images import from_uint8
from gseg.randomness import derive_seed, normals
from gseg.storage.callables import callable_digest, is_callable_name, load_callable
from gseg.transfers import send


class PictureEncoder(Protocol):
    """Finds the latents of pictures."""

    @property
    def resolution(self) -> int:
        """Side of the pictures that it takes."""
        ...

    def __call__(self, pictures: Tensor, numbers: Sequence[int]) -> Tensor:
        """Find latents.

        Args:
            pictures: (N, 3, R, R) uint8.
            numbers: N numbers of the pictures in their set, for what is random.

        Returns:
            (N, latent_dim) float32 on the CPU.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderChoice:
    """Which encoder, as plain data.

    Attributes:
        name: Of a generator whose encoder ships, or of a function.
        digest: Of the function's file; empty for shipped ones.
        generator: Generator whose latents these are; empty if it was not said.
        resolution: Side of the pictures.
        latent_dim: Width of the latents; None to take what the function gives.
        sampled: Draw each latent from the distribution that a shipped encoder gives, instead of
            taking its mean. Coordinates that a picture does not decide then vary as the prior's.
    """

    name: str
    digest: str = ""
    generator: str = ""
    resolution: int
    latent_dim: int | None = None
    sampled: bool = False

    def __post_init__(self) -> None:
        if self.sampled and self.digest:
            raise ValueError(
                f"{self.name} gives latents and no distribution to draw them from: let it draw "
                "them itself, and leave the sampling out."
            )

    def open(self, device: torch.device | str = "cpu") -> PictureEncoder:
        """Load it.

        Raises:
            ValueError: The function is not there, or has changed.
        """
        if not self.digest:
            return ShippedEncoder(load_encoder(self.name, device=device), sampled=self.sampled)
        if callable_digest(self.name) != self.digest:
            raise ValueError(f"{self.name} has changed since it was chosen: start again.")
        return OwnEncoder(load_callable(self.name), self, device=torch.device(device))


@dataclass(frozen=True, slots=True)
class ShippedEncoder:
    """An encoder that was trained with a generator: means, or draws from its distributions.

    Attributes:
        encoder: The encoder.
        sampled: See `EncoderChoice`.
    """

    encoder: Encoder
    sampled: bool

    @property
    def resolution(self) -> int:
        """Side of the pictures that it takes."""
        return self.encoder.resolution

    def __call__(self, pictures: Tensor, numbers: Sequence[int]) -> Tensor:
        """See `PictureEncoder`; the draw of a picture is a function of its number alone."""
        mean, deviation = self.encoder.distribution(pictures)
        if not self.sampled:
            return mean
        noise = normals(derive_seed(0, "encoder"), numbers, self.encoder.latent_dim)
        return mean + deviation * torch.from_numpy(noise).float()


@dataclass(frozen=True, slots=True)
class OwnEncoder:
    """A function of the user's as an encoder; what it gives is checked.

    Attributes:
        function: (N, 3, R, R) float32 in [-1, 1] to (N, latent_dim).
        choice: Its name and sizes.
        device: Where the pictures go before it is called.
    """

    function: Callable[[Tensor], object]
    choice: EncoderChoice
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def resolution(self) -> int:
        """Side of the pictures that it takes."""
        return self.choice.resolution

    @exact()
    @torch.no_grad()
    def __call__(self, pictures: Tensor, numbers: Sequence[int]) -> Tensor:
        """See `PictureEncoder`.

        Raises:
            ValueError: The function gives something else than finite latents of the right width.
        """
        given = self.function(from_uint8(send(pictures, self.device)))
        width = self.choice.latent_dim
        expected = f"({len(pictures)}, {'latent_dim' if width is None else width})"
        if not isinstance(given, Tensor):
            raise ValueError(
                f"{self.choice.name} gave {type(given).__name__}, expected a tensor {expected}."
            )
        if given.ndim != 2 or len(given) != len(pictures) or width not in (None, given.shape[1]):
            of = f" of {self.choice.generator}" if self.choice.generator else ""
            raise ValueError(
                f"{self.choice.name} gave a tensor {tuple(given.shape)}, expected latents{of} of "
                f"shape {expected}: is it the encoder of another generator?"
            )
        latents = given.detach().float().cpu()
        if not latents.isfinite().all():
            raise ValueError(f"{self.choice.name} gave latents that are not finite.")
        return latents


def choose_encoder(
    name: str,
    card: GeneratorCard | None = None,
    *,
    resolution: int | None = None,
    sampled: bool = False,
) -> EncoderChoice:
    """Choose an encoder, and make sure that it fits the generator.

    Args:
        name: Generator whose encoder ships with the package, or a function's name, see
            `gseg.storage.callables.load_callable`.
        card: Generator whose latents are wanted; None if it is not said.
        resolution: Side of the pictures that a function takes; by default the generator's.
        sampled: See `EncoderChoice`.

    Returns:
        The choice.

    Raises:
        ValueError: There is no such encoder, or it is another generator's.
    """
    if is_callable_name(name):
        side = resolution or (card.resolution if card else None)
        if side is None:
            raise ValueError(
                f"What size of pictures does {name} take? Say its generator or the size (--for "
                "GENERATOR or --size N)."
            )
        return EncoderChoice(
            name=name,
            digest=callable_digest(name),
            generator=card.name if card else "",
            resolution=side,
            latent_dim=card.latent_dim if card else None,
            sampled=sampled,
        )
    if card is not None and name in list_encoders() and name != card.name:
        raise ValueError(
            f"The encoder of {name} finds latents of {name}, which are no latents of {card.name}: "
            f"give an encoder of {card.name}."
        )
    encoder = load_encoder(name)
    if resolution not in (None, encoder.resolution):
        raise ValueError(
            f"The encoder of {name} takes pictures of {encoder.resolution} pixels, not "
            f"{resolution}: leave the size out."
        )
    return EncoderChoice(
        name=name,
        generator=name,
        resolution=encoder.resolution,
        latent_dim=encoder.latent_dim,
        sampled=sampled,
    )
