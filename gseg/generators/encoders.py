"""Encoders: networks that find the latent of a picture, trained together with a generator.

The embedded BigBiGAN (Donahue and Simonyan 2019) ships with its own. Latents of the pictures of a
data set adapt the samples to it (Voynov et al. 2021, section 3.3).
"""

import itertools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.exactness import exact
from gseg.generators.layers import check_sizes
from gseg.images import from_uint8
from gseg.transfers import send

ENCODER_SUFFIX: Final = ".encoder.safetensors"
_BATCH: Final = 256
_UNSURE: Final = -1.7
"""Logit of the share of a coordinate's variance that the picture decides, at the start."""


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
    has, by construction: otherwise a joint discriminator tells found latents from drawn ones by
    their scale, and learns nothing about which picture belongs to which latent. At the start the
    deviation is close to 1, that is, latents say next to nothing about the picture: coordinates
    that all depend on the few things that an untrained network sees would make the generator
    exaggerate exactly those.

    Args:
        config: Its numbers.
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
        nn.init.constant_(self.head.bias[config.latent_dim :], _UNSURE)
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


class Encoder:
    """A frozen encoder: pictures to latents of its generator.

    Args:
        network: Put into evaluation mode.
        generator: Catalogue name of the generator that it was trained with.
        device: Where to compute.
    """

    def __init__(
        self, network: EncoderNetwork, generator: str, *, device: torch.device | str = "cpu"
    ) -> None:
        self.generator = generator
        self.resolution = network.config.resolution
        self.latent_dim = network.config.latent_dim
        self._device = torch.device(device)
        self._network = network.to(self._device).eval().requires_grad_(False)

    def __call__(self, pictures: Tensor) -> Tensor:
        """Find the most probable latents.

        Args:
            pictures: (N, 3, R, R) uint8.

        Returns:
            (N, latent_dim) float32 on the CPU.

        Raises:
            ValueError: The pictures have another size or type.
        """
        return self.distribution(pictures)[0]

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
        parts = [
            self._network(from_uint8(send(part, self._device)))
            for part in torch.split(pictures, _BATCH)
            if len(part)
        ]
        if not parts:
            return torch.empty(0, self.latent_dim), torch.empty(0, self.latent_dim)
        means, deviations = (torch.cat(each).cpu() for each in zip(*parts, strict=True))
        return means, deviations


def list_encoders() -> list[str]:
    """Name the generators whose encoders ship with the package."""
    found = (files("gseg.scenes") / "weights").iterdir()
    return sorted(
        item.name.removesuffix(ENCODER_SUFFIX)
        for item in found
        if item.name.endswith(ENCODER_SUFFIX)
    )


def load_encoder(generator: str, *, device: torch.device | str = "cpu") -> Encoder:
    """Load the encoder that was trained with an embedded generator.

    Args:
        generator: Catalogue name.
        device: Where to compute.

    Returns:
        The encoder.

    Raises:
        ValueError: That generator has none.
    """
    if generator not in list_encoders():
        raise ValueError(
            f"No encoder ships for {generator!r}; there are those of "
            f"{', '.join(list_encoders())}. For other generators give latents as a .npy file."
        )
    data = (files("gseg.scenes") / "weights" / f"{generator}{ENCODER_SUFFIX}").read_bytes()
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    network = EncoderNetwork(EncoderConfig(**json.loads(metadata["config"])))
    tensors = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in safetensors.torch.load(data).items()
    }
    network.load_state_dict(tensors, strict=True)
    return Encoder(network, generator, device=device)
