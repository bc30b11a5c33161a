"""Score a segmenter on a benchmark: a table of every picture, and means in every metric profile.

Pictures are read by threads while the segmenter computes. The evaluation protocols, at which size
pictures are segmented and scored, are those of `gseg.scores.sizes`.
"""

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.exactness import exact
from gseg.images import from_uint8
from gseg.metrics.counts import PixelHistogram, begin_histogram, pixel_histogram
from gseg.metrics.profiles import ProfileName
from gseg.metrics.sums import Aggregate, MetricSums, merge_sums
from gseg.scores.batches import Prepared, Reading, equal_shapes
from gseg.scores.collected import COLUMNS, SCORES, Collected
from gseg.scores.contract import Benchmark
from gseg.scores.sizes import EvalProtocol, begin_mask_size, to_mask_size
from gseg.transfers import one_behind, send

__all__ = ["COLUMNS", "DEFAULT_PROFILES", "SCORES", "Predict", "Scores", "merge_scores", "score"]

Predict = Callable[[Tensor], Tensor]
"""(N, 3, H, W) float32 in [-1, 1] -> (N, H, W) foreground probability in [0, 1], same device."""

DEFAULT_PROFILES: Final[tuple[ProfileName, ...]] = (
    "melas2022_program",
    "melas2022_text",
    "voynov2021",
    "sod",
)
_READERS: Final = {"cpu": 2, "cuda": 16}
"""Threads that read pictures, by kind of device: what keeps it busy, at most one for each CPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Scores of one segmenter on one benchmark.

    Attributes:
        benchmark: Name of the benchmark.
        protocol: Evaluation protocol.
        working_size: Shorter side that the segmenter saw.
        table: `COLUMNS`; a row for each picture, in the benchmark's order, profile after profile.
        sums: Mergeable sums, one for each profile.
        skipped: Files that were left out, one line each.
        curves: (N, T) float32 Fβ of each picture at every threshold, by name of profile, in the
            order of the table.
    """

    benchmark: str
    protocol: EvalProtocol
    working_size: int
    table: pd.DataFrame
    sums: tuple[MetricSums, ...]
    skipped: tuple[str, ...]
    curves: dict[ProfileName, NDArray[np.float32]] = field(default_factory=dict)

    @property
    def aggregates(self) -> dict[ProfileName, Aggregate]:
        """Means over the pictures, with their number, by name of profile."""
        return {part.profile.name: part.compute() for part in self.sums}


@exact()
def score(
    predict: Predict,
    benchmark: Benchmark,
    *,
    protocol: EvalProtocol = "text",
    profiles: Sequence[ProfileName] = DEFAULT_PROFILES,
    working_size: int | None = None,
    batch: int = 32,
    device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score a segmenter on a benchmark in one pass over its pictures.

    Pictures of equal shape are predicted together, on `device`; only pixel counts come back. A file
    that cannot be read ends the scoring, unless the benchmark was opened with `skip_bad`; then it
    is listed in `Scores.skipped`.

    Args:
        predict: The segmenter, such as `Segmenter.probability`.
        benchmark: Pictures with true masks.
        protocol: At which size pictures are segmented and scored, see `gseg.scores.sizes`.
        profiles: Metric profiles to report.
        working_size: Shorter side in pixels that the segmenter sees: the size it was trained at;
            128 in the papers, 32 for segmenters of scenes. None takes the benchmark's own.
        batch: Pictures predicted together, at most.
        device: Where the segmenter is given its pictures, and where they are scored.
        progress: Called with (pictures done, pictures in all).

    Returns:
        Scores of every picture and the sums of each profile.

    Raises:
        ValueError: An option is unknown or out of range, or a prediction has a wrong form.
        UnreadableImageError: A file is damaged; the message names it.
    """
    size = benchmark.working_size if working_size is None else working_size
    _check(protocol, profiles, size, batch)
    reading = Reading(
        protocol=protocol, size=size, batch=batch, readers=_readers(benchmark, device)
    )
    collected = Collected(profiles)
    unreadable: list[str] = []
    groups = equal_shapes(benchmark, reading, unreadable)
    begun = ((group, _begin(predict, group, protocol, device)) for group in groups)
    for group, counted in one_behind(begun):
        collected.add(group, counted())
        if progress is not None:
            progress(collected.pictures + len(unreadable), len(benchmark))
    return Scores(
        benchmark=benchmark.name,
        protocol=protocol,
        working_size=size,
        table=collected.table(),
        sums=collected.sums,
        skipped=(*benchmark.bad, *unreadable),
        curves=collected.curves(),
    )


def merge_scores(parts: Sequence[Scores]) -> Scores:
    """Put the scores of a benchmark's parts together.

    Args:
        parts: Scores of `BenchmarkPart`s of one benchmark in their order, made alike.

    Returns:
        The scores of the whole benchmark.

    Raises:
        ValueError: The parts are of different benchmarks, protocols or profiles.
    """
    made = {
        (part.benchmark, part.protocol, part.working_size, tuple(s.profile.name for s in part.sums))
        for part in parts
    }
    if len(made) != 1:
        raise ValueError(f"Expected parts of one scoring, got {sorted(map(str, made))}.")
    first = parts[0]
    tables = [part.table for part in parts if len(part.table)] or [first.table]
    order = {part.profile.name: rank for rank, part in enumerate(first.sums)}
    table = pd.concat(tables).sort_values(
        "profile", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )
    return Scores(
        benchmark=first.benchmark,
        protocol=first.protocol,
        working_size=first.working_size,
        table=table,
        sums=tuple(merge_sums(same) for same in zip(*(p.sums for p in parts), strict=True)),
        skipped=tuple(line for part in parts for line in part.skipped),
        curves={
            name: np.concatenate([part.curves[name] for part in parts]) for name in first.curves
        },
    )


def _check(protocol: str, profiles: Sequence[str], size: int, batch: int) -> None:
    known = get_args(EvalProtocol)
    if protocol not in known:
        near = difflib.get_close_matches(protocol, known, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise ValueError(
            f"Unknown evaluation protocol {protocol!r}{hint} There are {', '.join(known)}."
        )
    if not profiles or len(set(profiles)) < len(profiles):
        raise ValueError(f"Expected metric profiles, each once, got {tuple(profiles)}.")
    if size < 1 or batch < 1:
        raise ValueError(
            f"Working size and batch must be at least 1, got working_size={size}, batch={batch}."
        )


def _readers(benchmark: Benchmark, device: str) -> int:
    wanted = _READERS["cpu" if device == "cpu" else "cuda"] if benchmark.from_files else 1
    return min(wanted, os.cpu_count() or 1)


def _begin(
    predict: Predict, group: list[Prepared], protocol: EvalProtocol, device: str
) -> Callable[[], PixelHistogram]:
    """Predict a group and begin to count its pixels; nothing waits for the device."""
    images = from_uint8(send(torch.stack([waiting.picture for waiting in group]), device))
    with torch.no_grad():
        probability = predict(images)
    if probability.shape != images[:, 0].shape:
        raise ValueError(
            f"The segmenter returned {tuple(probability.shape)} for pictures "
            f"{tuple(images.shape)}; expected one probability for each pixel, "
            f"{tuple(images[:, 0].shape)}."
        )
    mask, scored = torch.stack([waiting.mask for waiting in group]), _scored(group)
    height, width = mask.shape[1:]
    if protocol == "voynov_program" and probability.shape != mask.shape:
        arrived = begin_mask_size(probability, (height, width))
        return lambda: pixel_histogram(arrived(), mask, scored)
    probability = to_mask_size(probability, (height, width), protocol)
    there = probability.device
    return begin_histogram(
        probability, send(mask, there), None if scored is None else send(scored, there)
    )


def _scored(group: list[Prepared]) -> Tensor | None:
    """Mark the pixels that count; None for all of them."""
    if all(waiting.scored is None for waiting in group):
        return None
    marks = []
    for waiting in group:
        mark = torch.ones_like(waiting.mask) if waiting.scored is None else waiting.scored
        if not mark.any():
            raise ValueError(f"Nothing to score in {waiting.id}: all of its pixels are left out.")
        marks.append(mark)
    return torch.stack(marks)
