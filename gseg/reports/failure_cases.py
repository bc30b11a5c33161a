"""Failure cases of a trained segmenter (Melas-Kyriazi et al. 2022, Figures 12 to 14).

On labelled pictures: those with the lowest IoU; pictures whose true mask is empty are left out, as
in Figure 13. Of generated pictures the paper's authors looked through some 500 by eye, there being
no true masks. Here those 500 are ordered without eyes: first where the trained segmenter and the
sample's own mask agree least, so that at least one of the two is wrong.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import pandas as pd
import torch
from torch import Tensor

from gseg.images import contact_sheet, from_uint8
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.row_values import TrialParts
from gseg.pipeline.trial import Context, find_parts, find_rows
from gseg.samples.sets import load_samples
from gseg.scores.batches import prepare, resize_probability
from gseg.scores.benchmarks import Benchmark, open_benchmark
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.segmenters.segmenter import Ensemble, Predictor, Segmenter
from gseg.storage.store import Store, write_atomically

LOOKED_THROUGH: Final = 500
"""Generated pictures (appendix B.4.1)."""
_BATCH: Final = 100
_TILE: Final = 96


def failure_cases(
    folder: Path, experiment: Experiment, setting: Context, device: str, count: int
) -> pd.DataFrame:
    """Draw a finished trial's failure cases, one sheet of samples and one of each benchmark.

    Args:
        folder: Receives the PNG files.
        experiment: The trial, of method ``gan``.
        setting: Where its parts are, and what it was scored on.
        device: Kind of device that made them.
        count: Pictures of each sheet.

    Returns:
        A line for each picture: ``generator``, ``seed``, ``pictures`` (``samples`` or a
        benchmark's name), ``id`` (of a sample the candidate's number), ``iou``.

    Raises:
        ValueError: The trial is not finished.
    """
    parts = find_parts(experiment, setting, device)
    rows = find_rows(experiment, setting, device)
    if parts is None or rows is None or experiment.training is None:
        raise ValueError(f"{experiment.label} is not finished: run its sweep first.")
    rows = [row for row in rows if row["metric_profile"] == DEFAULT_PROFILES[0]]
    store = Store(setting.storage, read_only=True)
    name = f"{Path(experiment.generator).name.replace(':', '-')}-{experiment.training.seed}"
    found = [worst_samples(folder / f"{name}-samples.png", parts, count)]
    for row, spec in zip(rows, setting.benchmarks, strict=True):
        scores = store.find("scores", str(row["scores"]))
        assert scores is not None
        images = pd.read_parquet(scores.folder / "images.parquet")
        chosen = images[images["profile"] == row["metric_profile"]]
        benchmark = open_benchmark(spec, skip_bad=setting.skip_bad)
        path = folder / f"{name}-{benchmark.name.replace(':', '-').replace('/', '-')}.png"
        found.append(worst_pictures(path, parts, benchmark, chosen, count))
    lines = pd.concat(found, ignore_index=True)
    lines.insert(0, "seed", experiment.training.seed)
    lines.insert(0, "generator", experiment.generator)
    return lines


@torch.inference_mode()
def worst_samples(path: Path, parts: TrialParts, count: int) -> pd.DataFrame:
    """Draw the samples whose mask the trained segmenter contradicts most (Figure 14).

    Args:
        path: PNG file.
        parts: What the trial left in the storage; its first network's samples are taken.
        count: Samples to show.

    Returns:
        A line for each, the worst first: ``pictures``, ``id`` (the candidate's number) and
        ``iou`` between the sample's mask and the segmenter's.
    """
    member = parts.members[0]
    assert member.samples is not None
    pairs = member.samples.pairs
    samples = load_samples(pairs.shards, min(LOOKED_THROUGH, pairs.count))
    predicted = _predict(_predictor(parts), samples.pictures)
    scores = _ious(predicted, samples.masks)
    order = torch.argsort(scores, stable=True)[:count].tolist()
    rows = [[samples.pictures[i], samples.masks[i], predicted[i]] for i in order]
    labels = [f"{scores[i]:.2f}" for i in order]
    _write(path, rows, ("picture", "its mask", "segmenter"), labels)
    names = [str(int(samples.indices[i])) for i in order]
    ious = [float(scores[i]) for i in order]
    return pd.DataFrame({"pictures": "samples", "id": names, "iou": ious})


@torch.inference_mode()
def worst_pictures(
    path: Path, parts: TrialParts, benchmark: Benchmark, scores: pd.DataFrame, count: int
) -> pd.DataFrame:
    """Draw the labelled pictures with the lowest IoU (Figures 12 and 13).

    Args:
        path: PNG file.
        parts: What the trial left in the storage.
        benchmark: What it was scored on.
        scores: Of every picture, of one metric profile: ``id`` and ``iou``, in its order.
        count: Pictures to show.

    Returns:
        A line for each, the worst first: ``pictures``, ``id`` and ``iou``.
    """
    segmenter = _predictor(parts)
    size = segmenter.resolution or benchmark.working_size
    ordered = scores.reset_index(drop=True).sort_values("iou", kind="stable").dropna(subset="iou")
    rows: list[list[Tensor]] = []
    lines: list[dict[str, object]] = []
    labels: list[str] = []
    for place, line in ordered.iterrows():
        if len(rows) == count:
            break
        example = benchmark[int(str(place))]
        if not example.mask.any():
            continue
        seen = prepare(example, 0, "text", size).picture
        probability = segmenter.probability(from_uint8(seen[None]))
        found = resize_probability(probability, example.mask[None])[0]
        rows.append([example.picture, example.mask, found > 0.5])
        name, iou = str(line["id"]), float(line["iou"])
        lines.append({"pictures": benchmark.name, "id": name, "iou": iou})
        labels.append(f"{iou:.2f}")
    _write(path, rows, ("picture", "truth", "prediction"), labels)
    return pd.DataFrame(lines, columns=["pictures", "id", "iou"])


def _predictor(parts: TrialParts) -> Predictor:
    members: list[Predictor] = [Segmenter.load(member.file) for member in parts.members]
    return members[0] if len(members) == 1 else Ensemble(members)


def _predict(segmenter: Predictor, pictures: Tensor) -> Tensor:
    """Find masks (N, R, R) in pictures (N, 3, R, R) uint8."""
    parts = torch.split(pictures, _BATCH)
    return torch.cat([segmenter.probability(from_uint8(each)) > 0.5 for each in parts])


def _ious(one: Tensor, other: Tensor) -> Tensor:
    common = (one & other).sum((1, 2))
    return common / (one | other).sum((1, 2)).clamp(min=1)


def _write(
    path: Path, rows: Sequence[Sequence[Tensor]], columns: Sequence[str], labels: Sequence[str]
) -> None:
    buffer = BytesIO()
    image = contact_sheet(rows, tile=_TILE, columns=columns, labels=labels)
    image.save(buffer, format="PNG", optimize=True)
    write_atomically(path, buffer.getvalue())
