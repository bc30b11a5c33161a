"""From latents to kept samples: draw candidates block by block, make masks, filter.

Candidate i is a function of the generator, the directions, the config and i. A shard is a fixed
number of blocks of consecutive candidates, and comes out the same, bit for bit, whoever draws it on
the same kind of device with the same number of threads, alone or together with the shards of other
directions.

`review` is for people: it looks at a block of candidates as the filters see them. Drawing for a
training makes far fewer pictures (`gseg.samples.cascade`).
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.directions.direction import Direction
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.images import to_uint8
from gseg.samples.cascade import Cascade, Request
from gseg.samples.config import REASONS, SampleConfig
from gseg.samples.filters import judge, mean_changes
from gseg.samples.latents import candidates, check_truncation
from gseg.samples.masks import MASKS, brightness_difference, judged_masks, mask_pictures
from gseg.samples.sets import check_acceptance, first_samples, join, sum_counts
from gseg.samples.shards import SampleSet, Shard
from gseg.samples.thresholds import settled
from gseg.storage.digests import canonical
from gseg.transfers import send

# Threads that judge masks while another device makes pictures, at most one for each core. On the
# CPU they would take its cores from the generator, which needs twenty times as long.
_JUDGES: Final = 4
# Blocks that a step may lie behind the one before it, so that the device has work while the CPU
# decides; nothing waits for the CPU itself.
_LAG: Final = 1
_LAG_ON_CPU: Final = 0


class Drawn(NamedTuple):
    """Shards of several sample sets that were drawn together.

    Attributes:
        shards: One for each request.
        forwards: Pictures that the generator made for all of them.
    """

    shards: list[Shard]
    forwards: int


def draw(
    generator: Generator,
    direction: Direction,
    config: SampleConfig,
    count: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> SampleSet:
    """Draw the first samples in this process.

    Args:
        generator: Where pictures come from.
        direction: The shift vectors; anything with `lighter` and `darker`, (D,) float32 each, and
            `operators` for masks of kind ``affine`` will do; with `choose_threshold`'s choice,
            if that is asked for.
        config: How to draw.
        count: Number N of samples.
        progress: Called after every shard with the samples accepted so far, at most N, and N.

    Returns:
        The first N accepted samples, whatever N was asked for before.

    Raises:
        AcceptanceError: Under 1 % of at least 10,000 candidates were accepted.
        ValueError: The count is below 1 or the direction does not fit the generator.
    """

    def drawn() -> Iterator[Shard]:
        totals: dict[str, int] = {}
        for number in itertools.count():
            shard = draw_shard(generator, direction, config, number).as_stored()
            totals = sum_counts([totals, shard.counts])
            if progress is not None:
                progress(min(totals["accepted"], count), count)
            yield shard
            check_acceptance(totals)

    return first_samples(drawn(), count)


def draw_shard(
    generator: Generator, direction: Direction, config: SampleConfig, shard: int
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
    return draw_shards(generator, [(direction, config)], shard).shards[0]


def draw_shards(
    generator: Generator,
    requests: Sequence[tuple[Direction, SampleConfig]],
    shard: int,
    *,
    threads: int | None = None,
    cores: int | None = None,
) -> Drawn:
    """Draw one shard of several sample sets whose candidates are the same.

    Each comes out as if it was drawn alone. What they have in common, the pictures G(z) and
    shifted pictures of the same direction and length, is made once.

    Args:
        generator: Where pictures come from, on any device.
        requests: Shift vectors and config of each set; latents, seed, batch and blocks per shard
            are the same in all.
        shard: Its number, the same for all.
        threads: Threads that judge masks beside this one; by default none on the CPU.
        cores: Of this process, which bound that default; None for all that the machine has.

    Returns:
        The shards, in the order of the requests.

    Raises:
        ValueError: A direction does not fit the generator or lacks the colour maps or the choice
            that its masks need, or the candidates differ.
    """
    if len({config.candidates_key for _, config in requests}) != 1:
        raise ValueError(
            "Sets that are drawn together have the same latents, seed, batch and blocks_per_shard: "
            "draw the others by themselves."
        )
    config = requests[0][1]
    check_truncation(generator, config.latents)
    asked, shifts = _share_shifts(generator, requests)
    on_cpu = generator.device.type == "cpu"
    first = shard * config.blocks_per_shard
    judges = 0 if on_cpu else min(_JUDGES, cores or os.cpu_count() or 1)
    judges = judges if threads is None else threads
    with ThreadPoolExecutor(judges) if judges else nullcontext() as pool:
        depth = _LAG_ON_CPU if on_cpu else _LAG
        cascade = Cascade(generator, asked, shifts, pool=pool, depth=depth)
        blocks = cascade.run(range(first, first + config.blocks_per_shard))
    shards = []
    for (_, own), parts in zip(requests, blocks, strict=True):
        joined = join(parts)  # outside of inference mode, which leaves its mark on tensors
        shards.append(
            Shard(
                **{column.name: getattr(joined, column.name) for column in fields(joined)},
                number=shard,
                provenance={"generator": generator.card.name, "config": canonical(own)},
                picture_format=own.picture_format,
            )
        )
    return Drawn(shards, cascade.forwards)


def _share_shifts(
    generator: Generator, requests: Sequence[tuple[Direction, SampleConfig]]
) -> tuple[list[Request], list[Tensor]]:
    """Give ε v for each direction that a mask kind needs, equal ones once."""
    shifts: list[Tensor] = []
    asked = []
    for direction, config in requests:
        numbers: dict[str, int] = {}
        for name in MASKS[config.mask_kind].shifts:
            vector: Tensor = getattr(direction, name)
            if vector.shape != (generator.card.code_dim,):
                raise ValueError(
                    f"{generator.card.name} takes shifts of shape ({generator.card.code_dim},), "
                    f"the {name} direction has {tuple(vector.shape)}: was it found on another "
                    "generator?"
                )
            shift = config.epsilon * vector.to("cpu", torch.float32)
            same = [k for k, known in enumerate(shifts) if torch.equal(known, shift)]
            numbers[name] = same[0] if same else len(shifts)
            if not same:
                shifts.append(shift)
        maps = getattr(direction, "operators", None)
        asked.append(Request(settled(config, direction), numbers, maps))
    return asked, [send(shift, generator.device) for shift in shifts]


@exact()
@torch.inference_mode()
def differences(
    generator: Generator,
    direction: Direction,
    config: SampleConfig,
    indices: Sequence[int] | NDArray[np.int64],
) -> Tensor:
    """Make again what the masks of some candidates were cut from.

    Args:
        generator: Where pictures come from.
        direction: The shift vectors, with what the masks need.
        config: How samples are drawn.
        indices: The candidates' numbers.

    Returns:
        (N, R, R) on the CPU, see `gseg.samples.masks.brightness_difference`; the last bits may be
        those of another batch than the masks'.
    """
    z, y = candidates(
        generator.card, config.latents, config.seed, np.asarray(indices), device=generator.device
    )
    code = generator.code(z)
    original, moved = mask_pictures(generator, direction, config, code, y)
    pictures = (original, moved.get("lighter"), moved.get("darker"))
    maps = getattr(direction, "operators", None)
    kind, rule = config.mask_kind, config.mask_rule
    return brightness_difference(kind, *pictures, rule=rule, maps=maps).cpu()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Review:
    """A block of N candidates.

    Attributes:
        indices: (N,) int64, their numbers.
        pictures: (N, 3, R, R) uint8, G(z).
        shifted: (N, 3, R, R) uint8 by name of the direction.
        masks: (N, R, R) bool; of accepted candidates as they are kept, of rejected ones as they
            came out before small components were cut away.
        reasons: Why each was rejected, one of `REASONS`; empty for accepted ones.
    """

    indices: Tensor
    pictures: Tensor
    shifted: Mapping[str, Tensor]
    masks: Tensor
    reasons: tuple[str, ...]


@exact()
@torch.inference_mode()
def review(generator: Generator, direction: Direction, config: SampleConfig, block: int) -> Review:
    """Draw one block of candidates and judge all of them.

    The verdicts are those of `draw`, but for pixels on the edge of a decision: pictures made in
    another batch may differ in their last bits.

    Args:
        generator: Where pictures come from.
        direction: The shift vectors.
        config: How to draw.
        block: Its number.

    Returns:
        The candidates, on the CPU.
    """
    config = settled(config, direction)
    indices = np.arange(block * config.batch, (block + 1) * config.batch)
    device = generator.device
    z, y = candidates(generator.card, config.latents, config.seed, indices, device=device)
    code = generator.code(z)
    original, moved = mask_pictures(generator, direction, config, code, y)
    maps = getattr(direction, "operators", None)
    difference, (raw, *singles) = judged_masks(config, original, moved, maps)
    verdicts = judge(
        raw,
        list(moved.values()),
        config.filters,
        directions=singles,
        changes=mean_changes(difference),
    )
    accepted = torch.from_numpy(verdicts.accepted)
    kept = torch.from_numpy(verdicts.masks)
    return Review(
        indices=torch.from_numpy(indices),
        pictures=to_uint8(original).cpu(),
        shifted={name: to_uint8(each).cpu() for name, each in moved.items()},
        masks=torch.where(accepted[:, None, None], kept, raw.cpu()),
        reasons=tuple("" if code == 0 else REASONS[code - 1] for code in verdicts.reasons),
    )
