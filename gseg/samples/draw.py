"""From latents to kept samples: draw candidates block by block, make masks, filter.

Candidate i is a function of the generator, the directions, the config and i. Pictures are made in
batches of one fixed size, because a network may give other last bits in another batch: so a shard,
a fixed number of blocks of consecutive candidates, comes out the same, bit for bit, whoever draws
it on the same kind of device with the same number of threads, alone or together with the shards of
other directions.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from gseg.directions.colour_maps import ColourMaps
from gseg.generators.contract import Generator
from gseg.samples.blocks import Request
from gseg.samples.cascade import Cascade
from gseg.samples.config import SHIFTS, ColouredVectors, SampleConfig, ShiftVectors
from gseg.samples.latents import check_truncation
from gseg.samples.sets import SampleSet, check_acceptance, first_samples, join, sum_counts
from gseg.samples.shards import Shard
from gseg.storage.digests import canonical
from gseg.transfers import send

_JUDGES: Final = 4
"""Threads that judge masks while another device makes pictures, at most one for each core. On the
CPU they would take its cores from the generator, which needs twenty times as long."""
_LAG: Final = 1
_LAG_ON_CPU: Final = 0
"""Blocks that a step may lie behind the one before it, so that the device has work while the CPU
decides; nothing waits for the CPU itself."""


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
    return draw_shards(generator, [(direction, config)], shard).shards[0]


def draw_shards(
    generator: Generator,
    requests: Sequence[tuple[ShiftVectors, SampleConfig]],
    shard: int,
    *,
    threads: int | None = None,
    cores: int | None = None,
    plain: bool = False,
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
        plain: Make G(z) for all candidates instead of for those that need it. The samples are the
            same; this is what the saving is measured against.

    Returns:
        The shards, in the order of the requests.

    Raises:
        ValueError: A direction does not fit the generator, or the candidates differ.
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
    with ThreadPoolExecutor(judges) if judges else _Here() as pool:
        cascade = Cascade(
            generator, asked, shifts, pool=pool, depth=_LAG_ON_CPU if on_cpu else _LAG, plain=plain
        )
        blocks = cascade.run(range(first, first + config.blocks_per_shard))
    shards = [
        _to_shard(generator, each.config, shard, parts)
        for each, parts in zip(asked, blocks, strict=True)
    ]
    return Drawn(shards, cascade.forwards)


class _Here(Executor):
    """Does work at once, in this thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


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


def _share_shifts(
    generator: Generator, requests: Sequence[tuple[ShiftVectors, SampleConfig]]
) -> tuple[list[Request], list[Tensor]]:
    """Give ε v for each direction that a mask kind needs, equal ones once."""
    shifts: list[Tensor] = []
    asked = []
    for direction, config in requests:
        numbers = {}
        for name in SHIFTS[config.mask_kind]:
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
        asked.append(Request(config, numbers, _maps(direction, config)))
    return asked, [send(shift, generator.device) for shift in shifts]


def _maps(direction: ShiftVectors, config: SampleConfig) -> ColourMaps | None:
    """Give the colour maps of a direction, where masks are made by them."""
    if config.mask_kind != "affine":
        return None
    maps = direction.operators if isinstance(direction, ColouredVectors) else None
    if maps is None:
        raise ValueError(
            "Masks of kind 'affine' need a direction with colour maps, this one has none: fit "
            "them first (gseg.directions.affine.fit_operators)."
        )
    return maps


def _to_shard(
    generator: Generator, config: SampleConfig, number: int, blocks: Sequence[SampleSet]
) -> Shard:
    joined = join(blocks)  # outside of inference mode, which leaves its mark on tensors
    return Shard(
        number=number,
        indices=joined.indices,
        labels=joined.labels,
        pictures=joined.pictures,
        masks=joined.masks,
        statistics=joined.statistics,
        counts=joined.counts,
        provenance={"generator": generator.card.name, "config": canonical(config)},
        picture_format=config.picture_format,
    )
