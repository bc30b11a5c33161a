"""The stage that trains a segmenter."""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from gseg.artifacts import Artifact, Store, replacing
from gseg.jobs import Backend, FitJob, Pairs
from gseg.progress import Report
from gseg.segmenters import FitConfig, FitResult

_VERSION: Final = 1


def make_segmenter(
    store: Store,
    training: Pairs,
    validation: Pairs,
    parents: Sequence[str],
    config: FitConfig,
    backend: Backend,
    report: Report,
) -> Artifact:
    """Train a segmenter.

    Args:
        store: Where it is or will be.
        training: Pairs to train on.
        validation: Held-out pairs.
        parents: Names of the sets that the pairs come from.
        config: How to train.
        backend: Who trains.
        report: Hears of the steps.

    Returns:
        An artifact with ``segmenter.safetensors`` and ``losses.parquet``; facts:
        ``validation_iou``, ``foreground_share``, ``peak_memory_mib``.
    """

    def build(folder: Path) -> Mapping[str, Any]:
        job = FitJob(
            training=training,
            validation=validation,
            config=config,
            folder=folder,
            device=backend.device,
        )
        facts = backend.fit(job, report)
        job.checkpoint.unlink(missing_ok=True)
        return facts

    return store.make(
        "segmenter",
        version=_VERSION,
        config={
            "training": asdict(config),
            "count": training.count,
            "validation": validation.count,
            "device": backend.device,
        },
        parents=parents,
        build=build,
        device=backend.device,
    )


def save_fit(job: FitJob, result: FitResult, masks_share: float) -> dict[str, Any]:
    """Write a finished training into its folder.

    Args:
        job: What was trained.
        result: What came out.
        masks_share: Mean share of foreground in the training masks.

    Returns:
        Facts for the manifest.
    """
    result.segmenter.save(job.folder / "segmenter.safetensors")
    steps = range(1, len(result.losses) + 1)
    curve = pd.DataFrame({"step": steps, "loss": result.losses.numpy()})
    curve = curve.merge(
        pd.DataFrame(result.validation, columns=["step", "validation_iou"]), how="left", on="step"
    )
    with replacing(job.folder / "losses.parquet") as part:
        pq.write_table(pa.Table.from_pandas(curve, preserve_index=False), part)
    return {
        "validation_iou": result.validation_iou,
        "foreground_share": masks_share,
        "final_loss": float(result.losses[-1]),
        "peak_memory_mib": round(peak_memory_mib(job.device), 1),
    }


def peak_memory_mib(device: str) -> float:
    """Largest memory so far: of the GPU if the device is one, else of this process, in MiB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
