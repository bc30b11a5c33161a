"""Encoders: they find the latents of pictures, to which samples are adapted.

Voynov et al. 2021, section 3.3. The embedded BigBiGAN (Donahue and Simonyan 2019) ships with its
own, a network that was trained together with the generator. Any function of the user's own may
serve: it takes pictures (N, 3, R, R) float32 in [-1, 1] and gives latents (N, latent_dim) of its
generator.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.arrays import check_finite
from gseg.exactness import exact
from gseg.generators.cards import GeneratorCard, shipped_folder, shipped_header
from gseg.generators.layers import check_sizes
from gseg.generators.reading import read_shipped
from gseg.images import from_uint8
from gseg.randomness import derive_seed, normals
from gseg.storage.callables import callable_digest, is_callable_name, load_callable
from gseg.transfers import send

ENCODER_SUFFIX: Final = ".encoder.safetensors"
_BATCH: Final = 256
# Logit of the share of a coordinate's variance that the picture decides, at the start.
_UNSURE: Final = -1.7


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """Numbers that make an encoder.

    Attributes:
        latent_dim: Width of the generator's z.
        resolution: Side of the pictures, 4 * 2**(number of widths - 1).
        channels: Widths from full resolution to the 4x4 map.
    """

    latent_dim: int
    resolution: int
    channels: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_sizes(self.resolution, self.channels, latent_dim=self.latent_dim)


class EncoderNetwork(nn.Module):
    """Strided convolutions with batch normalisation, and a normal distribution over z.

    Every coordinate of a latent drawn for a random picture has mean 0 and variance 1 as the prior
    has, by construction.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        self.entry = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Conv2d(wide, wider, 4, stride=2, padding=1, bias=False)
            for wide, wider in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.head = nn.Linear(widths[-1] * 16, 2 * config.latent_dim)
        # At the start the deviation is close to 1, that is, latents say next to nothing about the
        # picture: coordinates that all depend on the few things that an untrained network sees
        # would make the generator exaggerate exactly those.
        nn.init.constant_(self.head.bias[config.latent_dim :], _UNSURE)
        # Without the prior's scale, a joint discriminator tells found latents from drawn ones by
        # it, and learns nothing about which picture belongs to which latent.
        self.centre = nn.BatchNorm1d(config.latent_dim, affine=False)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Find latents.

        Args:
            pictures: (N, 3, R, R) in [-1, 1].

        Returns:
            Mean and standard deviation, (N, latent_dim) each; the deviation is in (0, 1).
        """
        x = F.relu(self.entry(pictures))
        for layer, norm in zip(self.down, self.norms, strict=True):
            x = F.relu(norm(layer(x)))
        position, known = self.head(x.flatten(1)).float().chunk(2, dim=1)
        # Roots of a logistic function and its complement; their gradients are finite everywhere.
        signal, deviation = (F.logsigmoid(sign * known).div(2).exp() for sign in (1, -1))
        return self.centre(position) * signal, deviation


PictureEncoder = Callable[[Tensor, Sequence[int]], Tensor]
# Finds the latents (N, latent_dim) float32, on the CPU, of pictures (N, 3, R, R) uint8; the N
# numbers of the pictures in their set are for what is random. A ValueError says that the pictures
# have another size or type, or that the latents are none of the generator's.


class Encoder:
    """A frozen encoder that was trained with a generator, as a `PictureEncoder`.

    Args:
        network: Put into evaluation mode.
        generator: Catalogue name of the generator that it was trained with.
        device: Where to compute.
        sampled: See `EncoderChoice`.
    """

    def __init__(
        self,
        network: EncoderNetwork,
        generator: str,
        *,
        device: torch.device | str = "cpu",
        sampled: bool = False,
    ) -> None:
        self.generator = generator
        self.resolution = network.config.resolution
        self.latent_dim = network.config.latent_dim
        self.sampled = sampled
        self._device = torch.device(device)
        self._network = network.to(self._device).eval().requires_grad_(False)

    def __call__(self, pictures: Tensor, numbers: Sequence[int] = ()) -> Tensor:
        """See `PictureEncoder`; the draw of a picture is a function of its number alone."""
        mean, deviation = self.distribution(pictures)
        if not self.sampled:
            return mean
        noise = normals(derive_seed(0, "encoder"), numbers, self.latent_dim)
        return mean + deviation * torch.from_numpy(noise).float()

    @exact()
    @torch.no_grad()
    def distribution(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Find the normal distributions of the latents.

        Args:
            pictures: (N, 3, R, R) uint8.

        Returns:
            Means and standard deviations, (N, latent_dim) float32 each, on the CPU.

        Raises:
            ValueError: The pictures have another size or type.
        """
        side = self.resolution
        if pictures.dtype != torch.uint8 or pictures.shape[1:] != (3, side, side):
            raise ValueError(
                f"The encoder of {self.generator} takes pictures (N, 3, {side}, {side}) of uint8, "
                f"got {tuple(pictures.shape)} of {pictures.dtype}: crop and resize them first."
            )
        # Of no pictures, split makes one part without any.
        sent = (from_uint8(send(part, self._device)) for part in torch.split(pictures, _BATCH))
        parts = zip(*map(self._network, sent), strict=True)
        means, deviations = (torch.cat(each).cpu() for each in parts)
        return means, deviations


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
            return load_encoder(self.name, device=device, sampled=self.sampled)
        if callable_digest(self.name) != self.digest:
            raise ValueError(f"{self.name} has changed since it was chosen: start again.")
        return partial(_own_latents, load_callable(self.name), self, device)


@exact()
@torch.no_grad()
def _own_latents(
    function: Callable[[Tensor], object],
    choice: EncoderChoice,
    device: torch.device | str,
    pictures: Tensor,
    _: Sequence[int],
) -> Tensor:
    """Call a function of the user's as a `PictureEncoder`, and check what it gives."""
    given = function(from_uint8(send(pictures, device)))
    width = choice.latent_dim
    expected = f"({len(pictures)}, {'latent_dim' if width is None else width})"
    if not isinstance(given, Tensor):
        got = type(given).__name__
        raise ValueError(f"{choice.name} gave {got}, expected a tensor {expected}.")
    fits = given.ndim == 2 and len(given) == len(pictures) and given.shape[1] > 0
    if not fits or width not in (None, given.shape[1]):
        of = f" of {choice.generator}" if choice.generator else ""
        raise ValueError(
            f"{choice.name} gave a tensor {tuple(given.shape)}, expected latents{of} of shape "
            f"{expected}: is it the encoder of another generator?"
        )
    if not given.is_floating_point():
        raise ValueError(f"{choice.name}: expected floating-point latents, got {given.dtype}.")
    check_finite(choice.name, {"latents": given})
    return given.detach().float().cpu()


def list_encoders() -> list[str]:
    """Name the generators whose encoders ship with the package."""
    names = [item.name.partition(ENCODER_SUFFIX) for item in shipped_folder().iterdir()]
    return sorted(name for name, suffix, _ in names if suffix)


def load_encoder(
    generator: str, *, device: torch.device | str = "cpu", sampled: bool = False
) -> Encoder:
    """Load the encoder that was trained with an embedded generator.

    Args:
        generator: Catalogue name.
        device: Where to compute.
        sampled: See `EncoderChoice`.

    Raises:
        ValueError: That generator has none.
    """
    if generator not in list_encoders():
        raise ValueError(
            f"No encoder ships for {generator!r}; there are those of "
            f"{', '.join(list_encoders())}. For other generators give latents as a .npy file."
        )
    file = shipped_folder() / f"{generator}{ENCODER_SUFFIX}"
    network = EncoderNetwork(EncoderConfig(**json.loads(shipped_header(file)["config"])))
    network.load_state_dict(read_shipped(file), strict=True)
    return Encoder(network, generator, device=device, sampled=sampled)


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
        file = callable_digest(name)
        own = EncoderChoice(name=name, digest=file, resolution=side, sampled=sampled)
        return replace(own, generator=card.name, latent_dim=card.latent_dim) if card else own
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
    side, width = encoder.resolution, encoder.latent_dim
    own = EncoderChoice(name=name, generator=name, resolution=side, latent_dim=width)
    return replace(own, sampled=sampled)
