"""Contact sheets: samples with their masks, rejected candidates, predictions, a user's pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import torch
from torch import Tensor

from gseg.directions.direction import Direction
from gseg.generators.contract import Generator
from gseg.images import contact_sheet, tinted
from gseg.mask_coding import FROM_FILE, MaskCoding
from gseg.mask_files import TrueMask, check_codings, coded_mask, read_mask
from gseg.picture_files import list_pictures, read_image
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.finished import (
    LostEmbeddingsError,
    find_origin,
    load_stored,
    mask_ious,
    predict_example,
)
from gseg.pipeline.jobs.draw import sampled_generator
from gseg.pipeline.row_values import TrialParts
from gseg.samples.config import REASONS, SampleConfig
from gseg.samples.draw import Review, review
from gseg.samples.latents import candidates
from gseg.samples.shards import SampleSet, Shard
from gseg.scores.benchmarks import Benchmark, Example
from gseg.segmenters.segmenter import Predictor, Segmenter
from gseg.storage.files import replacing

TILE: Final = 96
"""Side of a cell in pixels."""
SAMPLE_COLUMNS: Final = ("picture", "lighter", "darker", "mask")
_ROWS: Final = 8

Cells = list[Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundMask:
    """A picture file and what was found in it.

    Attributes:
        picture: The file.
        mask: The file of the mask that was found.
        truth: The file of the true mask, if there is one.
        iou: Of the two masks; None without a true one.
    """

    picture: Path
    mask: Path
    truth: Path | None = None
    iou: float | None = None


def write_sheet(
    path: Path,
    rows: Sequence[Sequence[Tensor]],
    *,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    tile: int = TILE,
) -> None:
    """Write a PNG file of `gseg.images.contact_sheet`."""
    sheet = contact_sheet(rows, tile=tile, columns=columns, labels=labels)
    with replacing(path) as part:
        sheet.save(part, format="PNG", optimize=True)


@torch.inference_mode()
def sample_rows(
    samples: SampleSet, generator: Generator, direction: Direction, config: SampleConfig
) -> list[Cells]:
    """Give the cells of `SAMPLE_COLUMNS` for each sample: the shifted pictures are made again."""
    z, y = candidates(generator.card, config.latents, config.seed, samples.indices.numpy())
    code = generator.code(z)
    lighter, darker = (
        generator(code + config.epsilon * vector, y)
        for vector in (direction.lighter, direction.darker)
    )
    cells = zip(samples.pictures, lighter, darker, samples.masks, strict=True)
    return [list(each) for each in cells]


def prediction_row(predictor: Predictor, example: Example, size: int) -> Cells:
    """Give a labelled picture, its true mask, and the probabilities that a segmenter finds."""
    return [example.picture, example.mask, predict_example(predictor, example, size)]


def rejected_places(blocks: Sequence[Review], most: int) -> Iterator[tuple[str, Review, int]]:
    """Find rejected candidates, the first ones of each reason, with the block that shows them."""
    every = [(why, seen, k) for seen in blocks for k, why in enumerate(seen.reasons)]
    for reason in REASONS:
        yield from [each for each in every if each[0] == reason][:most]


def trial_sheet(
    path: Path, experiment: Experiment, parts: TrialParts, benchmark: Benchmark
) -> None:
    """Draw a trial's first samples beside evenly spread pictures of a benchmark.

    Args:
        path: PNG file.
        experiment: The trial; of method ``gan``.
        parts: What it left in the storage.
        benchmark: Where labelled pictures come from.
    """
    member = parts.members[0]
    assert parts.direction is not None
    assert member.samples is not None
    config, segmenter = member.samples.config, Segmenter.load(member.file)
    count = min(_ROWS, member.samples.pairs.count, len(benchmark))
    rows = sample_rows(
        member.samples.pairs.head(count),
        sampled_generator(experiment.generator, "cpu", config.latents),
        Direction.load(parts.direction.folder),
        config,
    )
    size = segmenter.resolution or benchmark.working_size
    for number, row in enumerate(rows):
        row += prediction_row(segmenter, benchmark[number * len(benchmark) // count], size)
    write_sheet(path, rows, columns=(*SAMPLE_COLUMNS, "benchmark", "truth", "prediction"))


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
        DamagedShardError: A file is damaged and cannot be drawn again.
    """
    first, missing = load_stored(shards[0]), ""
    blocks: list[Review] = []
    try:
        blocks = _reviews(first, shards[0].parent, rows, rejected)
    except LostEmbeddingsError as error:
        missing = f"; rejected ones cannot be shown: {error}"
    except FileNotFoundError:
        missing = "; to show rejected ones, the direction must be in the storage"
    accepted = list(_accepted(first, blocks, rows))
    others = [
        (f"rejected: {reason}", _cells(seen.pictures[place], seen.masks[place], seen, place))
        for reason, seen, place in rejected_places(blocks, rejected)
    ]
    if not accepted and not others:
        raise ValueError(f"{shards[0]} holds no samples, and what it rejected cannot be shown.")
    labels, cells = zip(*accepted, *others, strict=True)
    columns = ("picture", "foreground", *(blocks[0].shifted if blocks else ()), "mask")
    write_sheet(path, cells, columns=columns, labels=labels, tile=tile)
    return f"{len(accepted)} accepted samples, {len(others)} rejected candidates{missing}"


def _reviews(shard: Shard, folder: Path, rows: int, rejected: int) -> list[Review]:
    """Draw the blocks again that the first samples come from, and more for rare reasons."""
    origin = find_origin(folder)
    config, direction = origin.config, Direction.load(origin.direction)
    generator = sampled_generator(origin.generator, "cpu", config.latents)
    # A candidate's number tells its block.
    wanted = set((shard.indices[:rows] // config.batch).tolist())
    missing = {reason: min(rejected, shard.counts.get(reason, 0)) for reason in REASONS}
    first, found = shard.number * config.blocks_per_shard, []
    for block in range(first, first + config.blocks_per_shard):
        # A rare reason's first candidates may lie far behind the first samples.
        if block in wanted or max(missing.values()) > 0:
            found.append(review(generator, direction, config, block))
            for reason in found[-1].reasons:
                missing[reason] = missing.get(reason, 0) - 1  # "" for accepted ones
    return found


def _accepted(shard: Shard, blocks: Sequence[Review], rows: int) -> Iterator[tuple[str, Cells]]:
    places = {int(index): (b, k) for b in blocks for k, index in enumerate(b.indices)}
    indices = shard.indices[:rows].tolist()
    for index, picture, mask in zip(indices, shard.pictures, shard.masks, strict=False):
        # Without its block a sample is shown without its shifted pictures.
        yield str(index), _cells(picture, mask, *places.get(index, (None, 0)))


def _cells(picture: Tensor, mask: Tensor, seen: Review | None, place: int) -> Cells:
    shifted = [] if seen is None else [each[place] for each in seen.shifted.values()]
    return [picture, tinted(picture, mask), *shifted, mask]


def find_truths(folder: Path) -> dict[str, Path]:
    """List the masks in a folder and below by their paths without suffix.

    Raises:
        ValueError: There is no such folder, no mask in it, or two differ in their suffix only.
    """
    truths, doubled = list_pictures(folder).by_name()
    for problem in doubled.values():
        raise ValueError(f"{problem}: which of them is the true mask?")
    if not truths:
        raise ValueError(f"{folder} is no folder of masks.")
    return truths


def compare_masks(
    masks: Mapping[Path, Path],
    truths: Mapping[str, Path],
    *,
    names: Mapping[Path, str] | None = None,
    coding: MaskCoding = FROM_FILE,
) -> list[FoundMask]:
    """Compare masks with true ones of the same names; void is left out.

    Args:
        masks: Mask file of each picture file.
        truths: From `find_truths`; pictures without one are left out.
        names: Path of each picture below the folder that was given, without suffix; where no mask
            has that, and without it, the name of its file counts.
        coding: What the values of true masks mean, if they do not say it.

    Returns:
        The pictures, those with the highest IoU first.

    Raises:
        ValueError: No picture has a true mask, or two have the same, or one is of another size or
            nobody can know what its values mean.
    """
    owners: dict[str, Path] = {}
    for picture in masks:
        path = names[picture] if names else picture.stem
        # Masks that this package makes lie side by side, those of pictures in subfolders too.
        name = path if path in truths else picture.stem
        if name in truths and owners.setdefault(name, picture) != picture:
            raise ValueError(
                f"{picture} and {owners[name]} have the same true mask, {truths[name]}; segment "
                "them one after the other."
            )
    if not owners:
        raise ValueError(
            "None of the pictures has a true mask: they are paired by their paths below the "
            "folders given, without suffix."
        )
    found, codings = [], set()
    for name, picture in owners.items():
        true = coded_mask(truths[name], coding)
        codings.add(true.coding)
        iou = _iou(masks[picture], truths[name], true)
        found.append(FoundMask(picture=picture, mask=masks[picture], truth=truths[name], iou=iou))
    check_codings(codings, found[0].truth.parent if found[0].truth else "")
    return sorted(found, key=lambda each: -(each.iou or 0.0))


def draw_strip(
    path: Path,
    found: Sequence[FoundMask],
    *,
    columns: int,
    tile: int = TILE,
    coding: MaskCoding = FROM_FILE,
) -> None:
    """Draw pictures side by side, their masks below.

    Args:
        path: PNG file.
        found: At least one; what is drawn is spread evenly over them, the first and the last
            included.
        columns: Pictures to draw, at least 1.
        tile: Side of a cell in pixels.
        coding: What the values of true masks mean, if they do not say it.
    """
    last, drawn = len(found) - 1, min(columns, len(found))
    chosen = [found[round(k * last / max(drawn - 1, 1))] for k in range(drawn)]
    rows = {"picture": [read_image(each.picture) for each in chosen]}
    truths = [read_mask(each.truth, coding) for each in chosen if each.truth is not None]
    if len(truths) == drawn:
        rows["truth"] = truths
    masks = [read_mask(each.mask) for each in chosen]
    rows["found"] = [tinted(*each) for each in zip(rows["picture"], masks, strict=True)]
    headings = [f"IoU {each.iou:.2f}" for each in chosen if each.iou is not None]
    write_sheet(path, list(rows.values()), columns=headings, labels=list(rows), tile=tile)


def spread_text(found: Sequence[FoundMask]) -> str:
    """Say how good the masks of `compare_masks` are, in words."""
    ious = [each.iou for each in found if each.iou is not None]
    best, middle, worst = max(ious), median(ious), min(ious)
    return f"IoU with the true masks: best {best:.2f}, median {middle:.2f}, worst {worst:.2f}"


def _iou(mask: Path, truth: Path, true: TrueMask) -> float:
    first, second = read_mask(mask), torch.from_numpy(true.mask)
    if first.shape != second.shape:
        known, found = ("{1}x{0}".format(*each.shape) for each in (second, first))
        raise ValueError(f"{truth} is {known}, its picture {found}.")
    if true.scored is not None:
        first &= torch.from_numpy(true.scored)
    return float(mask_ious(first[None], second[None])[0])
