"""Contact sheets of finished trials: what the direction does and what the segmenter finds."""

from pathlib import Path
from typing import Final

import torch

from gseg.directions.direction import Direction
from gseg.generators.catalogue import cached_generator
from gseg.images import from_uint8
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.row_values import TrialParts
from gseg.reports.figures import SheetRow, generator_sheet
from gseg.samples.latents import candidates
from gseg.samples.sets import load_samples
from gseg.scores.batches import prepare, resize_probability
from gseg.scores.contract import Benchmark
from gseg.segmenters.segmenter import Segmenter

_ROWS: Final = 8


@torch.inference_mode()
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
    assert parts.direction is not None
    member = parts.members[0]
    assert member.samples is not None
    generator = cached_generator(experiment.generator, "cpu")
    direction = Direction.load(parts.direction.folder)
    count = min(_ROWS, member.samples.pairs.count, len(benchmark))
    samples = load_samples(member.samples.pairs.shards, count)
    config = member.samples.config
    z, y = candidates(generator.card, config.latents, config.seed, samples.indices.numpy())
    code = generator.code(z)
    lighter, darker = (
        generator(code + config.epsilon * vector, y)
        for vector in (direction.lighter, direction.darker)
    )
    segmenter = Segmenter.load(member.file)
    size = segmenter.resolution or benchmark.working_size
    rows = []
    for row in range(count):
        example = benchmark[row * len(benchmark) // count]
        seen = prepare(example, row, "text", size).picture
        probability = segmenter.probability(from_uint8(seen[None]))
        prediction = resize_probability(probability, example.mask[None])[0]
        rows.append(
            SheetRow(
                picture=samples.pictures[row],
                lighter=lighter[row],
                darker=darker[row],
                mask=samples.masks[row],
                benchmark=example.picture,
                truth=example.mask,
                prediction=prediction,
            )
        )
    generator_sheet(path, rows)
