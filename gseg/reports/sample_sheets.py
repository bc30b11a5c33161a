"""Contact sheets of samples: what was kept, and what was rejected and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from gseg.directions.direction import Direction
from gseg.images import contact_sheet, tinted
from gseg.pipeline.jobs.draw import sampled_generator
from gseg.pipeline.origin import LostEmbeddingsError, Origin, find_origin
from gseg.samples.config import REASONS
from gseg.samples.draw import Review, review
from gseg.samples.shards import Shard
from gseg.storage.files import replacing


@dataclass(frozen=True, slots=True)
class _Line:
    label: str
    cells: Sequence[Tensor]


def sample_sheet(path: Path, shards: Sequence[Path], *, rows: int, rejected: int, tile: int) -> str:
    """Draw accepted samples, and rejected candidates where they can be drawn again.

    Args:
        path: PNG file.
        shards: Files of one set, in order.
        rows: Accepted samples to show.
        rejected: Rejected candidates to show of each reason.
        tile: Side of a cell in pixels.

    Returns:
        What the sheet shows, in words.

    Raises:
        ValueError: The shards hold no samples.
        DamagedShardError: A file is damaged.
    """
    first = Shard.load(shards[0])
    blocks: dict[int, Review] = {}
    missing = ""
    try:
        blocks = _reviews(first, find_origin(shards[0].parent), rows, rejected)
    except LostEmbeddingsError as error:
        missing = f"; rejected ones cannot be shown: {error}"
    except FileNotFoundError:
        missing = "; to show rejected ones, the direction must be in the storage"
    lines = [*_accepted_lines(first, blocks, rows), *_rejected_lines(blocks, rejected)]
    if not lines:
        raise ValueError(f"{shards[0]} holds no samples, and what it rejected cannot be shown.")
    shifted = list(next(iter(blocks.values())).shifted) if blocks else []
    columns = ("picture", "foreground", *shifted, "mask")
    sheet = contact_sheet(
        [line.cells for line in lines],
        tile=tile,
        columns=columns,
        labels=[line.label for line in lines],
    )
    with replacing(path) as part:
        sheet.save(part, format="PNG")
    shown = sum(line.label.isdecimal() for line in lines)
    return f"{shown} accepted samples, {len(lines) - shown} rejected candidates{missing}"


def _reviews(shard: Shard, origin: Origin, rows: int, rejected: int) -> dict[int, Review]:
    """Draw the blocks again that the first samples come from, and more for rare reasons."""
    config = origin.config
    generator = sampled_generator(origin.generator, "cpu", config.latents)
    direction = Direction.load(origin.direction)
    wanted = set((shard.indices[:rows] // config.batch).tolist())
    missing = {reason: min(rejected, shard.counts.get(reason, 0)) for reason in REASONS}
    first = shard.number * config.blocks_per_shard
    found = {}
    for block in range(first, first + config.blocks_per_shard):
        if block in wanted or any(count > 0 for count in missing.values()):
            found[block] = review(generator, direction, config, block)
            for reason in found[block].reasons:
                missing[reason] = missing.get(reason, 0) - 1
    return found


def _accepted_lines(shard: Shard, blocks: Mapping[int, Review], rows: int) -> Iterator[_Line]:
    places = {
        int(index): (seen, place)
        for seen in blocks.values()
        for place, index in enumerate(seen.indices)
    }
    for row in range(min(rows, len(shard))):
        picture, mask = shard.pictures[row], shard.masks[row]
        index = int(shard.indices[row])
        seen, place = places.get(index, (None, 0))
        shifted = [] if seen is None else [each[place] for each in seen.shifted.values()]
        yield _Line(str(index), [picture, tinted(picture, mask), *shifted, mask])


def _rejected_lines(blocks: Mapping[int, Review], rejected: int) -> Iterator[_Line]:
    for reason in REASONS:
        places = [
            (seen, place)
            for seen in blocks.values()
            for place, why in enumerate(seen.reasons)
            if why == reason
        ]
        for seen, place in places[:rejected]:
            picture, mask = seen.pictures[place], seen.masks[place]
            shifted = [each[place] for each in seen.shifted.values()]
            yield _Line(f"rejected: {reason}", [picture, tinted(picture, mask), *shifted, mask])
