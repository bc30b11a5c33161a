"""From latents to kept samples: draw candidates block by block, make masks, filter.

Candidate i is a function of the generator, the directions, the config and i. Pictures are made in
fixed blocks of consecutive candidates, because a network may give other last bits in another
batch: so a block comes out the same, bit for bit, whoever draws it on the same kind of device
with the same number of threads. A shard is a fixed number of blocks.

Every candidate's G(z) is computed, although only accepted ones need it. Computing it for those
alone that pass the histogram saves a tenth to a fifth of the time with the embedded generators,
but the last bits of their pictures, and so pixels of their masks, would depend on how many pass.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol, get_args

import numpy as np
import torch
from torch import Tensor

from gseg.artifacts import canonical
from gseg.generators.contract import Generator
from gseg.images import to_uint8
from gseg.samples.encoding import PICTURE_FORMATS, PictureFormat
from gseg.samples.filters import FilterConfig
from gseg.samples.latents import prior
from gseg.samples.masks import MaskKind, MaskRule, brightness_difference, make_masks, threshold
from gseg.samples.sets import SampleSet, check_acceptance, first_samples, join, sum_counts
from gseg.samples.shards import Shard
from gseg.samples.verdicts import judge

_SINGLE_KINDS: Final[tuple[MaskKind, ...]] = ("lighter", "darker")
_DIRECTIONS: Final[Mapping[MaskKind, tuple[str, ...]]] = MappingProxyType(
    {
        "lighter": ("lighter",),
        "darker": ("darker",),
        "both": ("lighter", "darker"),
        "mean": ("lighter",),
    }
)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleConfig:
    """How samples are drawn.

    Attributes:
        mask_kind: Which pictures are compared, see `masks.brightness_difference`.
        mask_rule: What brightness is, see `masks.brightness`.
        epsilon: Length ε of the shift in the space of codes. 1 suits the embedded generators; both
            official programs take 5, Melas-Kyriazi et al. 2022 state 2 for BigBiGAN (B.1).
        filters: Which candidates are kept.
        seed: Of latents and labels.
        batch: Candidates in a block. It is part of what the samples are.
        blocks_per_shard: Blocks in a shard.
        picture_format: ``exact``, or ``jpeg95``, which changes the pictures a little as the
            papers' programs do, and takes a fifth of the space.
    """

    mask_kind: MaskKind = "lighter"
    mask_rule: MaskRule = "luminance"
    epsilon: float = 1.0
    filters: FilterConfig = field(default_factory=FilterConfig)
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


def draw(
    generator: Generator,
    direction: ShiftVectors,
    config: SampleConfig,
    count: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> SampleSet:
    """Draw the first samples in this process.

    Args:
        generator: Where pictures come from.
        direction: The shift vectors.
        config: How to draw.
        count: Number N of samples.
        progress: Called after every shard with the samples accepted so far, at most N, and N.

    Returns:
        The first N accepted samples, whatever N was asked for before.

    Raises:
        AcceptanceError: Under 1 % of at least 10,000 candidates were accepted.
        ValueError: The count is below 1 or the direction does not fit the generator.
    """
    return first_samples(_draw_on(generator, direction, config, count, progress), count)


def draw_shard(
    generator: Generator, direction: ShiftVectors, config: SampleConfig, shard: int
) -> Shard:
    """Draw the candidates of one shard and keep those that pass the filters.

    Args:
        generator: Where pictures come from, on any device.
        direction: The shift vectors.
        config: How to draw.
        shard: Its number k; it covers candidates k * shard_size to (k + 1) * shard_size - 1.

    Returns:
        The accepted samples, on the CPU.

    Raises:
        ValueError: The direction does not fit the generator.
    """
    shifts = _shifts(generator, direction, config)
    first = shard * config.blocks_per_shard
    with torch.inference_mode():
        blocks = [
            _draw_block(generator, shifts, config, block)
            for block in range(first, first + config.blocks_per_shard)
        ]
    joined = join(blocks)  # outside of inference mode, which leaves its mark on tensors
    return Shard(
        number=shard,
        indices=joined.indices,
        labels=joined.labels,
        pictures=joined.pictures,
        masks=joined.masks,
        statistics=joined.statistics,
        counts=joined.counts,
        provenance={"generator": generator.card.name, "config": canonical(config)},
        picture_format=config.picture_format,
    )


def _draw_on(
    generator: Generator,
    direction: ShiftVectors,
    config: SampleConfig,
    count: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[Shard]:
    totals: dict[str, int] = {}
    for number in itertools.count():
        shard = draw_shard(generator, direction, config, number).as_stored()
        totals = sum_counts([totals, shard.counts])
        if progress is not None:
            progress(min(totals["accepted"], count), count)
        yield shard
        check_acceptance(totals)


def _shifts(
    generator: Generator, direction: ShiftVectors, config: SampleConfig
) -> dict[str, Tensor]:
    """Give ε v for each of the directions that the mask kind needs."""
    shifts = {}
    for name in _DIRECTIONS[config.mask_kind]:
        vector: Tensor = getattr(direction, name)
        if vector.shape != (generator.card.code_dim,):
            raise ValueError(
                f"{generator.card.name} takes shifts of shape ({generator.card.code_dim},), the "
                f"{name} direction has {tuple(vector.shape)}: was it found on another generator?"
            )
        shifts[name] = config.epsilon * vector.to(generator.device, torch.float32)
    return shifts


def _draw_block(
    generator: Generator, shifts: Mapping[str, Tensor], config: SampleConfig, block: int
) -> SampleSet:
    """Draw one block of candidates and keep the accepted ones, brought to the CPU."""
    indices = torch.arange(block * config.batch, (block + 1) * config.batch)
    z, y = prior(generator.card, config.seed, indices.numpy(), device=generator.device)
    code = generator.code(z)
    original = generator(code, y)
    moved = {name: generator(code + shift, y) for name, shift in shifts.items()}
    pictures = (original, moved.get("lighter"), moved.get("darker"))
    difference = brightness_difference(config.mask_kind, *pictures, rule=config.mask_rule)
    singles: list[Tensor] = []
    if config.mask_kind == "both" and config.filters.each_direction:
        singles = [make_masks(kind, *pictures, rule=config.mask_rule) for kind in _SINGLE_KINDS]
    verdicts = judge(
        threshold(difference, rule=config.mask_rule),
        list(moved.values()),
        config.filters,
        directions=singles,
    )
    kept = torch.from_numpy(np.flatnonzero(verdicts.accepted))
    there = kept.to(original.device)
    statistics = {name: torch.from_numpy(each)[kept] for name, each in verdicts.statistics.items()}
    statistics["brightness_change"] = difference[there].abs().mean(dim=(1, 2)).cpu()
    return SampleSet(
        indices=indices[kept],
        labels=None if y is None else y[there].cpu(),
        pictures=to_uint8(original[there]).cpu(),
        masks=torch.from_numpy(verdicts.masks)[kept],
        statistics=statistics,
        counts=verdicts.counts(),
    )
