"""Contact sheets of generators: samples, rejected candidates, and predictions on benchmarks."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
from torch import Tensor

from gseg.directions.direction import Direction
from gseg.generators.contract import Generator
from gseg.images import contact_sheet, from_uint8
from gseg.pipeline.graph import Told
from gseg.pipeline.jobs.draw import sampled_generator
from gseg.pipeline.origin import Origin, find_origin
from gseg.pipeline.stages.samples import SampleNode
from gseg.pipeline.trial import stages_of
from gseg.reports.content import Part, Section, Sheet
from gseg.reports.pictures import make_sheet
from gseg.reports.settings import SEEDS, SETTINGS, main_profile, present, setting_text
from gseg.samples.config import REASONS, FilterConfig
from gseg.samples.draw import draw
from gseg.samples.filters import judge
from gseg.samples.latents import candidates
from gseg.samples.masks import MASKS, make_masks
from gseg.samples.sets import load_samples
from gseg.samples.shards import shard_name
from gseg.scores.batches import prepare, resize_probability
from gseg.scores.benchmarks import open_benchmark
from gseg.scores.contract import Benchmark
from gseg.segmenters.segmenter import Ensemble, Predictor, Segmenter
from gseg.storage.mirror import fetch
from gseg.storage.store import Store

_SAMPLES: Final = 6
_REJECTED: Final = 6
_OF_EACH_RANK: Final = 3
_CANDIDATES: Final = 64
_SMALL: Final = 48
"""Side up to which pictures are shown twice as large."""
_ANY: Final = FilterConfig(histogram=None, component_share=0.0, max_share=1.0, allow_empty=True)
_RANKS: Final = ("best", "median", "worst")
_SHOWN: Final = ("mask_kind", "contrast_weight", "epsilon_sample", "data_size")
_TEXT: Final = (
    "Of each generator a finished trial with the most samples. Lighter and darker: the picture's "
    "latent shifted along v_l and v_d. Predictions: the pictures with the highest, the median and "
    "the lowest IoU."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """What a trial left.

    Attributes:
        origin: What the samples were drawn from; of an ensemble, the first network's.
        samples: Folder of the shards that were trained on.
        count: Samples that were trained on, the first ones of the shards.
        segmenters: Files; several for an ensemble.
        benchmark: Identity of what was scored.
        working_size: Shorter side that the segmenter saw; None for the benchmark's own.
        images: File with every picture's scores.
    """

    origin: Origin
    samples: Path
    count: int
    segmenters: tuple[Path, ...]
    benchmark: str
    working_size: int | None
    images: Path


def gallery_section(rows: pd.DataFrame, storage: Path, benchmarks: Sequence[str] = ()) -> Section:
    """Draw contact sheets of every generator whose trials are in the storage.

    Args:
        rows: Result rows.
        storage: The sweep's storage.
        benchmarks: Where benchmarks are, such as ``folder:PATH``; those that a row's own name
            opens, such as ``scenes``, need not be named.

    Returns:
        A section with up to three sheets for each generator and benchmark, and what is missing.

    Raises:
        ValueError: A named benchmark cannot be opened.
    """
    opened = {each.identity: each for each in map(open_benchmark, benchmarks)}
    parts: list[Part] = []
    missing: list[str] = []
    for row in telling_rows(rows):
        try:
            trace = find_trace(row, storage)
            if trace is None:
                missing.append(f"{row['generator']}: not in the storage.")
                continue
            parts += _sheets(row, trace, opened)
        except (ValueError, OSError) as error:
            missing.append(f"{row['generator']}: {str(error).splitlines()[0]}")
    text = (_TEXT, f"Without pictures: {' '.join(missing)}") if missing else (_TEXT,)
    return Section(anchor="pictures", title="Pictures", text=text, parts=tuple(parts))


def telling_rows(rows: pd.DataFrame) -> Iterator["pd.Series[Any]"]:
    """Choose of each generator a row with the most samples, on its first benchmark.

    Args:
        rows: Result rows.

    Yields:
        One row for each generator; of several the one whose settings come first in order, alike
        for all generators of a grid.
    """
    chosen = rows[(rows["method"] == "gan") & (rows["metric_profile"] == main_profile(rows))]
    keys = ["benchmark", *present(chosen, (*SETTINGS, *SEEDS)), "experiment"]
    ordered = chosen.sort_values(
        ["generator", "data_size", *keys], ascending=[True, False, *([True] * len(keys))]
    )
    for _, row in ordered.drop_duplicates("generator").iterrows():
        yield row


def find_trace(row: "pd.Series[Any]", storage: Path) -> Trace | None:
    """Find what a row's trial left, from its scores back from parent to parent.

    Args:
        row: A result row of method ``gan``.
        storage: The sweep's storage.

    Returns:
        The files, which are here then; None if the storage lacks any, or holds them in another
        version's form.

    Raises:
        LostEmbeddingsError: All is there but the user's own embeddings.
        StorageError: The object store does not answer, or what it gives is damaged.
    """
    store = Store(storage, read_only=True)
    try:
        scores = Told.of(store, str(row["scores"]), "scores")
        trained = [Told.of(store, name, "segmenter") for name in scores.about["parents"]]
        # The training samples come first, before held-out ones and labelled pictures.
        samples = trained[0].parent(*stages_of(SampleNode)).folder
        found = Trace(
            origin=find_origin(samples),
            samples=samples,
            count=trained[0].config["count"][0],
            segmenters=tuple(each.folder / "segmenter.safetensors" for each in trained),
            benchmark=scores.config["benchmark"],
            working_size=scores.config["working_size"],
            images=scores.folder / "images.parquet",
        )
    except (FileNotFoundError, KeyError, IndexError, TypeError):
        return None
    files = (samples / shard_name(0), *found.segmenters, found.images)
    return found if all(map(fetch, files)) else None


@torch.inference_mode()
def _sheets(row: "pd.Series", trace: Trace, opened: Mapping[str, Benchmark]) -> Iterator[Part]:
    origin = trace.origin
    name = f"{origin.generator}: {setting_text(row, _SHOWN)}"
    generator = sampled_generator(origin.generator, "cpu", origin.config.latents)
    direction = Direction.load(origin.direction)
    yield sample_sheet(trace, generator, direction, name)
    rejected = rejected_sheet(trace, generator, direction, name)
    if rejected is not None:
        yield rejected
    benchmark = _benchmark(str(row["benchmark"]), trace, opened)
    if benchmark is not None:
        yield prediction_sheet(trace, benchmark, str(row["metric_profile"]), name)


def sample_sheet(trace: Trace, generator: Generator, direction: Direction, of: str) -> Sheet:
    """Show the first samples: picture, shifted lighter and darker, mask.

    Args:
        trace: Of the trial.
        generator: Its generator, on the CPU.
        direction: Its direction.
        of: Whose samples these are, in words.

    Returns:
        The sheet.
    """
    shards = (trace.samples / shard_name(number) for number in itertools.count())
    # Of a selection the first shards may have kept nothing.
    samples = load_samples(shards, min(_SAMPLES, trace.count))
    code, y = _codes(trace, generator, samples.indices)
    moved = _moved(trace, generator, direction, code, y, ("lighter", "darker"))
    rows = [
        [samples.pictures[i], moved["lighter"][i], moved["darker"][i], samples.masks[i]]
        for i in range(len(samples))
    ]
    return _sheet(rows, ("picture", "lighter", "darker", "mask"), (), of, "Accepted samples.")


def rejected_sheet(
    trace: Trace, generator: Generator, direction: Direction, of: str
) -> Sheet | None:
    """Show rejected ones of the first candidates with the reasons.

    Args:
        trace: Of the trial.
        generator: Its generator, on the CPU.
        direction: Its direction.
        of: Whose candidates these are, in words.

    Returns:
        The sheet; None if none of the candidates was rejected.
    """
    config = replace(trace.origin.config, filters=_ANY, batch=_CANDIDATES, blocks_per_shard=1)
    every = draw(generator, direction, config, _CANDIDATES)
    code, y = _codes(trace, generator, every.indices)
    moved = _moved(trace, generator, direction, code, y, MASKS[config.mask_kind].shifts)
    pictures = from_uint8(every.pictures)
    singles: list[Tensor] = []
    if config.mask_kind == "both":
        both = (pictures, moved["lighter"], moved["darker"])
        singles = [make_masks(kind, *both, rule=config.mask_rule) for kind in ("lighter", "darker")]
    verdicts = judge(
        every.masks,
        list(moved.values()),
        trace.origin.config.filters,
        directions=singles,
        changes=every.statistics["brightness_change"],
    )
    rows, labels = [], []
    there = len(set(verdicts.reasons[verdicts.reasons > 0].tolist()))
    for number, reason in enumerate(REASONS, start=1):
        for i in (verdicts.reasons == number).nonzero()[0][: _REJECTED // max(there, 1)].tolist():
            rows.append([every.pictures[i], next(iter(moved.values()))[i], every.masks[i]])
            labels.append(reason)
    if not rows:
        return None
    count = int((verdicts.reasons > 0).sum())
    told = f"Rejected: {count} of the first {len(every)}, with the filter that each one failed."
    return _sheet(rows, ("picture", "shifted", "mask"), labels, of, told)


def prediction_sheet(trace: Trace, benchmark: Benchmark, profile: str, of: str) -> Sheet:
    """Show the pictures of a benchmark with the highest, the median and the lowest IoU.

    Args:
        trace: Of the trial.
        benchmark: What it was scored on.
        profile: Metric profile of the IoU.
        of: Whose predictions these are, in words.

    Returns:
        The sheet.
    """
    scores = pd.read_parquet(trace.images)
    scores = scores[scores["profile"] == profile].reset_index(drop=True)
    places = {str(name): place for place, name in enumerate(scores["id"])}
    ranked = scores[scores["iou"].notna()].sort_values("iou", ascending=False, kind="stable")
    middle = max(0, len(ranked) // 2 - _OF_EACH_RANK // 2)
    picked = (
        ranked.head(_OF_EACH_RANK),
        ranked.iloc[middle : middle + _OF_EACH_RANK],
        ranked.tail(_OF_EACH_RANK),
    )
    members: list[Predictor] = [Segmenter.load(path) for path in trace.segmenters]
    segmenter = members[0] if len(members) == 1 else Ensemble(members)
    size = trace.working_size or benchmark.working_size
    rows, labels = [], []
    for rank, chosen in zip(_RANKS, picked, strict=True):
        for line in chosen.itertuples():
            example = benchmark[places[str(line.id)]]
            if example.id != str(line.id):
                raise ValueError(f"{benchmark.name} is not in the order in which it was scored.")
            seen = prepare(example, 0, "text", size).picture
            probability = segmenter.probability(from_uint8(seen[None]))
            rows.append(
                [
                    example.picture,
                    example.mask,
                    resize_probability(probability, example.mask[None])[0],
                ]
            )
            labels.append(f"{rank}: {line.iou:.2f}")
    told = f"Predictions on {benchmark.name}, with their IoU."
    return _sheet(rows, ("picture", "truth", "prediction"), labels, of, told)


def _codes(trace: Trace, generator: Generator, indices: Tensor) -> tuple[Tensor, Tensor | None]:
    config = trace.origin.config
    z, y = candidates(generator.card, config.latents, config.seed, indices.numpy())
    return generator.code(z), y


def _moved(
    trace: Trace,
    generator: Generator,
    direction: Direction,
    code: Tensor,
    y: Tensor | None,
    names: Sequence[str],
) -> dict[str, Tensor]:
    shifts = {name: trace.origin.config.epsilon * getattr(direction, name) for name in names}
    return {name: generator(code + shift, y) for name, shift in shifts.items()}


def _benchmark(name: str, trace: Trace, opened: Mapping[str, Benchmark]) -> Benchmark | None:
    """Open what a trial was scored on, if it is at hand and still the same."""
    if trace.benchmark in opened:
        return opened[trace.benchmark]
    if name.startswith("folder:"):
        return None
    try:
        found = open_benchmark(name)
    except ValueError:
        return None
    return found if found.identity == trace.benchmark else None


def _sheet(
    rows: Sequence[Sequence[Tensor]],
    columns: Sequence[str],
    labels: Sequence[str],
    of: str,
    caption: str,
) -> Sheet:
    side = rows[0][0].shape[-1]
    tile = 2 * side if side <= _SMALL else min(side, 128)
    image = contact_sheet(rows, tile=tile, columns=columns, labels=labels)
    return make_sheet(image, caption=caption, of=of)
