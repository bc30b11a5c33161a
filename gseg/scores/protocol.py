"""Score a segmenter on a benchmark: a table of every picture, and means in every metric profile.

Pictures are read by threads while the segmenter computes. The evaluation protocols, at which size
pictures are segmented and scored, are those of `gseg.scores.batches`.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.exactness import exact
from gseg.images import above_otsu, from_uint8
from gseg.mask_files import check_codings
from gseg.metrics.counts import PixelHistogram, begin_histogram, pixel_histogram
from gseg.metrics.profiles import ProfileName, metric_profile
from gseg.metrics.sums import Aggregate, MetricSums, merge_sums
from gseg.scores import specs
from gseg.scores.batches import Prepared, begin_mask_size, equal_shapes
from gseg.scores.benchmarks import Benchmark
from gseg.scores.specs import SCORES, EvalProtocol, SizeProtocol, size_protocol
from gseg.transfers import one_behind, send

Predict = Callable[[Tensor], Tensor]
"""(N, 3, H, W) float32 in [-1, 1] -> (N, H, W) foreground probability in [0, 1], same device."""

COLUMNS: Final = ("id", "profile", *SCORES, "degenerate", "foreground")
"""Columns of the table of pictures; `max_f_beta` there is each picture's own maximum, `foreground`
the share of the scored pixels that are truly foreground."""

# Threads that read pictures, by kind of device: what keeps it busy, at most one for each CPU.
_READERS: Final = {"cpu": 2, "cuda": 16}
# Resamples at a time, which bounds the memory.
_BLOCK: Final = 50


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
        codings: How many mask files of a user's were read in which coding.
    """

    benchmark: str
    protocol: EvalProtocol
    working_size: int
    table: pd.DataFrame
    sums: tuple[MetricSums, ...] = field(repr=False)  # arrays of every picture
    skipped: tuple[str, ...]
    curves: dict[ProfileName, NDArray[np.float32]] = field(default_factory=dict, repr=False)
    codings: Counter[str] = field(default_factory=Counter)

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
    profiles: Sequence[ProfileName] = specs.DEFAULT_PROFILES,
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
        protocol: At which size pictures are segmented and scored, see `gseg.scores.batches`; with
            ``+otsu`` every score is that of the masks which Otsu's threshold of each picture's
            probability gives.
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
    sizes, by_otsu = size_protocol(protocol)
    if not profiles or len(set(profiles)) < len(profiles):
        raise ValueError(f"Expected metric profiles, each once, got {tuple(profiles)}.")
    if size < 1 or batch < 1:
        raise ValueError(
            f"Working size and batch must be at least 1, got working_size={size}, batch={batch}."
        )
    wanted = _READERS["cpu" if device == "cpu" else "cuda"] if benchmark.from_files else 1
    readers = min(wanted, os.cpu_count() or 1)
    collected = _Collected(profiles)
    unreadable: list[str] = []
    groups = equal_shapes(
        benchmark, unreadable, protocol=sizes, size=size, batch=batch, readers=readers
    )
    # The device predicts a group while the CPU scores the one before.
    begun = ((group, _begin(predict, group, sizes, device, by_otsu=by_otsu)) for group in groups)
    for group, counted in one_behind(begun):
        collected.add(group, counted())
        if progress is not None:
            progress(len(collected.order) + len(unreadable), len(benchmark))
    check_codings(collected.codings, benchmark.name)
    return Scores(
        benchmark=benchmark.name,
        protocol=protocol,
        working_size=size,
        table=collected.table(),
        sums=collected.sums,
        skipped=(*benchmark.bad, *unreadable),
        curves=collected.curves(),
        codings=collected.codings,
    )


def _begin(
    predict: Predict,
    group: list[Prepared],
    protocol: SizeProtocol,
    device: str,
    *,
    by_otsu: bool,
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
    resized = begin_mask_size(probability, (mask.shape[1], mask.shape[2]), protocol)

    def arrived() -> Tensor:
        return above_otsu(resized()).float() if by_otsu else resized()

    if protocol == "voynov_program" and probability.shape != mask.shape:
        return lambda: pixel_histogram(arrived(), mask, scored)  # resized on the CPU, counted there
    there = probability.device
    scored = None if scored is None else send(scored, there)
    return begin_histogram(arrived(), send(mask, there), scored)


def _scored(group: list[Prepared]) -> Tensor | None:
    """Mark the pixels that count; None for all of them."""
    if all(waiting.scored is None for waiting in group):
        return None
    marks = []
    for waiting in group:
        # A group may hold pictures with void and without.
        mark = torch.ones_like(waiting.mask) if waiting.scored is None else waiting.scored
        if not mark.any():
            raise ValueError(f"Nothing to score in {waiting.id}: all of its pixels are left out.")
        marks.append(mark)
    return torch.stack(marks)


class _Collected:
    """Scores of pictures, in whatever order their groups come."""

    def __init__(self, profiles: Sequence[ProfileName]) -> None:
        self.sums = tuple(MetricSums(profile=metric_profile(name)) for name in profiles)
        self.order: list[int] = []
        self.codings: Counter[str] = Counter()
        self._rows: list[tuple[object, ...]] = []
        self._curves = {
            part.profile.name: [np.zeros((0, len(part.profile.thresholds)), np.float32)]
            for part in self.sums
        }

    def add(self, group: list[Prepared], histogram: PixelHistogram) -> None:
        """Score a group in every profile."""
        self.order += [waiting.index for waiting in group]
        self.codings.update(waiting.coding for waiting in group if waiting.coding)
        foreground = (histogram.counts[:, 1].sum(1) / histogram.counts.sum((1, 2))).tolist()
        for rank, part in enumerate(self.sums):
            scores = part.update(histogram)
            # Half the memory; sums and means are taken of the exact ones.
            self._curves[part.profile.name].append(scores.curve.astype(np.float32))
            columns = [getattr(scores, name).tolist() for name in (*SCORES, "degenerate")]
            keys = ((rank, waiting.index, waiting.id, part.profile.name) for waiting in group)
            rows = zip(keys, *columns, foreground, strict=True)
            self._rows += [(*key, *values) for key, *values in rows]

    def table(self) -> pd.DataFrame:
        """Give `COLUMNS`, profile after profile in the benchmark's order."""
        # Groups come as their shapes fill up, not in order; the first two columns are the place.
        rows = sorted(self._rows, key=lambda row: row[:2])
        return pd.DataFrame([row[2:] for row in rows], columns=list(COLUMNS))

    def curves(self) -> dict[ProfileName, NDArray[np.float32]]:
        """Give the curves in the benchmark's order."""
        order = np.argsort(self.order)
        return {name: np.concatenate(parts)[order] for name, parts in self._curves.items()}


def merge_scores(parts: Sequence[Scores]) -> Scores:
    """Put the scores of a benchmark's parts together.

    Args:
        parts: Scores of `BenchmarkPart`s of one benchmark in their order, made alike.

    Raises:
        ValueError: The parts are of different benchmarks, protocols or profiles, or the codings
            of their masks contradict each other.
    """
    made = {
        (part.benchmark, part.protocol, part.working_size, tuple(s.profile.name for s in part.sums))
        for part in parts
    }
    if len(made) != 1:
        raise ValueError(f"Expected parts of one scoring, got {sorted(map(str, made))}.")
    first = parts[0]
    # An empty part's columns have no dtype, and would turn those of the others into objects.
    tables = [part.table for part in parts if len(part.table)] or [first.table]
    order = {part.profile.name: rank for rank, part in enumerate(first.sums)}
    table = pd.concat(tables).sort_values(
        "profile", key=lambda names: names.map(order), kind="stable", ignore_index=True
    )
    codings = sum((part.codings for part in parts), Counter[str]())
    check_codings(codings, first.benchmark)
    return replace(
        first,
        codings=codings,
        table=table,
        sums=tuple(merge_sums(same) for same in zip(*(p.sums for p in parts), strict=True)),
        skipped=tuple(line for part in parts for line in part.skipped),
        curves={n: np.concatenate([part.curves[n] for part in parts]) for n in first.curves},
    )


def bootstrap_intervals(
    scores: Scores, *, resamples: int = specs.RESAMPLES, seed: int = specs.RESAMPLING_SEED
) -> dict[ProfileName, dict[str, tuple[float, float]]]:
    """Give the limits within which 95 % of the resampled `SCORES` lie.

    Percentile intervals (Efron 1979): the pictures are drawn with replacement, as many as there
    are, and the aggregate is taken again, its maximum over thresholds included. They say how much
    a score would move with another choice of pictures of the same kind, not with another training.

    Args:
        scores: Of a whole benchmark, at least one picture.
        resamples: How often the pictures are drawn.
        seed: Of the draws; every profile and score sees the same.

    Returns:
        By name of profile and of score: the lower and the upper limit. NaN for an IoU that the
        profile leaves undefined.

    Raises:
        ValueError: There is no picture, or no resample.
    """
    count = len(scores.table) // max(len(scores.curves), 1)
    if count < 1 or resamples < 1:
        raise ValueError(
            f"Intervals need pictures and resamples, got {count} and {resamples}; score a "
            "benchmark first."
        )
    rng = np.random.default_rng(seed)
    top = SCORES.index("max_f_beta")
    singles, curves = {}, {}
    for name, curve in scores.curves.items():
        table = scores.table[scores.table.profile == name]
        singles[name] = table[[*SCORES[:top], *SCORES[top + 1 :]]].to_numpy(np.float64)
        curves[name] = curve.astype(np.float64)
    drawn: dict[ProfileName, list[NDArray[np.float64]]] = {name: [] for name in singles}
    for start in range(0, resamples, _BLOCK):
        # (drawings, count): how often each picture counts, by their number. Weights make one
        # matrix product of what `scipy.stats.bootstrap` does resample by resample.
        drawings = min(_BLOCK, resamples - start)
        chosen = rng.integers(0, count, (drawings, count)) + np.arange(drawings)[:, None] * count
        hits = np.bincount(chosen.reshape(-1), minlength=drawings * count)
        weights = hits.reshape(drawings, count) / count
        for name, parts in drawn.items():
            # The aggregate's maximum is of the mean curve, not the mean of the pictures' own.
            highest = (weights @ curves[name]).max(1)
            parts.append(np.insert(weights @ singles[name], top, highest, axis=1))
    tail = (1 - specs.CONFIDENCE) / 2
    found = {}
    for name, parts in drawn.items():
        low, high = np.quantile(np.concatenate(parts), [tail, 1 - tail], axis=0).tolist()
        found[name] = dict(zip(SCORES, zip(low, high, strict=True), strict=True))
    return found
