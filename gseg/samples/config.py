"""How samples are drawn, and which pictures each kind of mask is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol, get_args, runtime_checkable

from torch import Tensor

from gseg.directions.colour_maps import ColourMaps
from gseg.samples.encoding import PICTURE_FORMATS, PictureFormat
from gseg.samples.filters import FilterConfig
from gseg.samples.latents import LatentConfig
from gseg.samples.masks import MaskKind, MaskRule

SHIFTS: Final[Mapping[MaskKind, tuple[str, ...]]] = MappingProxyType(
    {
        "lighter": ("lighter",),
        "darker": ("darker",),
        "both": ("lighter", "darker"),
        "mean": ("lighter",),
        "affine": ("lighter",),
        "affine_each": ("lighter",),
    }
)
"""Directions whose shifted pictures a kind of mask looks at."""
WITHOUT_ORIGINAL: Final[frozenset[MaskKind]] = frozenset({"both", "mean"})
"""Kinds of masks for which G(z) is not needed."""


class ShiftVectors(Protocol):
    """What gives the directions: `gseg.directions.Direction`, or anything with these two."""

    @property
    def lighter(self) -> Tensor:
        """(D,) float32 of unit length; along it the foreground gets lighter."""
        ...

    @property
    def darker(self) -> Tensor:
        """(D,) float32 of unit length; along it the foreground gets darker."""
        ...


@runtime_checkable
class ColouredVectors(ShiftVectors, Protocol):
    """Directions that may know how they act on colours, as masks of kind ``affine`` need it."""

    @property
    def operators(self) -> ColourMaps | None:
        """Colour maps of the lighter vector; None where none have been fitted."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleConfig:
    """How samples are drawn.

    Attributes:
        mask_kind: Which pictures are compared, see `masks.brightness_difference`.
        mask_rule: What counts as brightness of a pixel, see `masks.brightness`.
        epsilon: Length ε > 0 of the latent shift that makes the masks, in the space of codes. 1
            suits the embedded generators; both official programs take 5, Melas-Kyriazi et al. 2022
            state 2 for BigBiGAN (B.1).
        filters: Rules that decide which candidates are kept, see `gseg.samples.filters`.
        latents: Where latents and labels come from.
        seed: Seed of the samples' latents and labels.
        batch: Candidates in a block. It is part of what the samples are.
        blocks_per_shard: Blocks in a shard.
        picture_format: ``exact``, or ``jpeg95``, which changes the pictures a little as the
            papers' programs do, and takes a fifth of the space.
    """

    mask_kind: MaskKind = "lighter"
    mask_rule: MaskRule = "luminance"
    epsilon: float = 1.0
    filters: FilterConfig = field(default_factory=FilterConfig)
    latents: LatentConfig = field(default_factory=LatentConfig)
    seed: int = 0
    batch: int = 64
    blocks_per_shard: int = 8
    picture_format: PictureFormat = "exact"

    def __post_init__(self) -> None:
        if self.mask_kind not in get_args(MaskKind):
            raise ValueError(
                f"Unknown mask kind {self.mask_kind!r}; choose one of {get_args(MaskKind)}."
            )
        if self.mask_rule not in get_args(MaskRule):
            raise ValueError(
                f"Unknown mask rule {self.mask_rule!r}; choose one of {get_args(MaskRule)}."
            )
        if self.picture_format not in PICTURE_FORMATS:
            raise ValueError(
                f"Unknown picture format {self.picture_format!r}; choose one of {PICTURE_FORMATS}."
            )
        if not self.epsilon > 0:
            raise ValueError(f"epsilon, the length of the shift, is above 0, got {self.epsilon}.")
        if self.seed < 0:
            raise ValueError(f"seed is 0 or more, got {self.seed}.")
        if self.batch < 1 or self.blocks_per_shard < 1:
            raise ValueError(
                "batch and blocks_per_shard are at least 1, "
                f"got {self.batch} and {self.blocks_per_shard}."
            )

    @property
    def shard_size(self) -> int:
        """Candidates in a shard."""
        return self.batch * self.blocks_per_shard

    @property
    def candidates_key(self) -> tuple[LatentConfig, int, int, int]:
        """What decides the pictures G(z); configs with the same can be drawn together."""
        return self.latents, self.seed, self.batch, self.blocks_per_shard
