"""Score a segmenter on a benchmark: a table of every picture, and means in every metric profile.

Two evaluation protocols. What no source states is assumed, and said here:

`text`: the picture is resized so that its shorter side is the working size (128 in Voynov et al.
2021; Melas-Kyriazi et al. 2022 give no scoring size: assumed the same), the mask with it, and
scores are taken at that size. Whole pictures: the centre crops of CUB and Flowers belong to those
benchmarks.
`melas_program`: the network sees the same resized picture, its probabilities are resized back
(bilinear) and scored at the mask's own size.

Assumed in both: pictures are resized bilinearly with antialiasing on bytes, as torchvision and
Pillow do, masks by the nearest pixel, and the longer side is rounded down.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import pandas as pd
import torch
from torch import Tensor

from gseg.images import from_uint8
from gseg.metrics import (
    Aggregate,
    MetricSums,
    PixelHistogram,
    ProfileName,
    merge_sums,
    metric_profile,
    pixel_histogram,
)
from gseg.scores.batches import EvalProtocol, Prepared, equal_shapes, resize_probability
from gseg.scores.benchmarks import Benchmark

Predict = Callable[[Tensor], Tensor]
"""(N, 3, H, W) float32 in [-1, 1] on the CPU -> (N, H, W) foreground probability in [0, 1]."""

DEFAULT_PROFILES: Final[tuple[ProfileName, ...]] = ("melas2022_program", "voynov2021")
SCORES: Final = ("accuracy", "iou", "f_beta", "max_f_beta")
COLUMNS: Final = ("id", "profile", *SCORES, "degenerate")
"""Columns of the table of pictures; `max_f_beta` there is each picture's own maximum."""


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
    """

    benchmark: str
    protocol: EvalProtocol
    working_size: int
    table: pd.DataFrame
    sums: tuple[MetricSums, ...]
    skipped: tuple[str, ...]

    @property
    def aggregates(self) -> dict[ProfileName, Aggregate]:
        """Means over the pictures, with their number, by name of profile."""
        return {part.profile.name: part.compute() for part in self.sums}


def score(
    predict: Predict,
    benchmark: Benchmark,
    *,
    protocol: EvalProtocol = "text",
    profiles: Sequence[ProfileName] = DEFAULT_PROFILES,
    working_size: int | None = None,
    batch: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score a segmenter on a benchmark in one pass over its pictures.

    Pictures of equal shape are predicted together. A file that cannot be read ends the scoring,
    unless the benchmark was opened with `skip_bad`; then it is listed in `Scores.skipped`.

    Args:
        predict: The segmenter, such as `Segmenter.probability`.
        benchmark: Pictures with true masks.
        protocol: "text" or "melas_program", see the module.
        profiles: Metric profiles to report.
        working_size: Shorter side in pixels that the segmenter sees: the size it was trained at;
            128 in the papers, 32 for segmenters of scenes. None takes the benchmark's own.
        batch: Pictures predicted together, at most.
        progress: Called with (pictures done, pictures in all).

    Returns:
        Scores of every picture and the sums of each profile.

    Raises:
        ValueError: An option is unknown or out of range, or a prediction has a wrong form.
        UnreadableImageError: A file is damaged; the message names it.
    """
    size = benchmark.working_size if working_size is None else working_size
    _check(protocol, profiles, size, batch)
    sums = tuple(MetricSums(profile=metric_profile(name)) for name in profiles)
    unreadable: list[str] = []
    rows: list[tuple[object, ...]] = []
    done = 0
    for group in equal_shapes(benchmark, protocol, size, batch, unreadable):
        histogram = _histogram(predict, group)
        for order, part in enumerate(sums):
            rows.extend(_rows(group, order, part, histogram))
        done += len(group)
        if progress is not None:
            progress(done + len(unreadable), len(benchmark))
    return Scores(
        benchmark=benchmark.name,
        protocol=protocol,
        working_size=size,
        table=_table(rows),
        sums=sums,
        skipped=(*benchmark.bad, *unreadable),
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


def _histogram(predict: Predict, group: list[Prepared]) -> PixelHistogram:
    images = from_uint8(torch.stack([waiting.picture for waiting in group]))
    with torch.no_grad():
        probability = predict(images)
    if probability.shape != images[:, 0].shape:
        raise ValueError(
            f"The segmenter returned {tuple(probability.shape)} for pictures "
            f"{tuple(images.shape)}; expected one probability for each pixel, "
            f"{tuple(images[:, 0].shape)}."
        )
    mask = torch.stack([waiting.mask for waiting in group]).to(probability.device)
    return pixel_histogram(resize_probability(probability, mask), mask)


def _rows(
    group: list[Prepared], order: int, sums: MetricSums, histogram: PixelHistogram
) -> list[tuple[object, ...]]:
    """Score a group in one profile: rows that sort into the table's order."""
    scores = sums.update(histogram)
    columns = [getattr(scores, name).tolist() for name in (*SCORES, "degenerate")]
    keys = ((order, waiting.index, waiting.id, sums.profile.name) for waiting in group)
    return [(*key, *values) for key, *values in zip(keys, *columns, strict=True)]


def _table(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    rows.sort(key=lambda row: row[:2])
    return pd.DataFrame([row[2:] for row in rows], columns=list(COLUMNS))
