"""The stage that trains a segmenter."""

import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from gseg.exactness import device_identity
from gseg.pipeline.costs import fit_seconds
from gseg.pipeline.jobs.fit import Backend, FitJob, Material
from gseg.pipeline.progress import Report
from gseg.segmenters import FitConfig, FitResult
from gseg.segmenters.curves import curve_table
from gseg.storage.mirror import discard
from gseg.storage.store import Artifact, Cost, Store, canonical, replacing

_VERSION: Final = 2


def make_segmenter(
    store: Store, material: Material, config: FitConfig, backend: Backend, report: Report
) -> Artifact:
    """Train a segmenter.

    Args:
        store: Where it is or will be.
        material: Pairs to train on, and held-out ones.
        config: How to train.
        backend: Who trains.
        report: Hears of the steps.

    Returns:
        An artifact with ``segmenter.safetensors`` and ``losses.parquet``; facts:
        ``validation_iou`` and ``validation_loss`` (None without held-out pairs),
        ``foreground_share``, ``final_loss``, ``peak_memory_mib``.
    """

    def build(folder: Path) -> Mapping[str, Any]:
        job = FitJob(material=material, config=config, folder=folder, device=backend.device)
        facts = backend.fit(job, report)
        discard(job.checkpoint)
        return facts

    def cost() -> Cost:
        side = material.training[0].resolution()
        return Cost(seconds=fit_seconds(config, side, backend.device))

    sides = [pairs.shrunk for pairs in material.training if pairs.shrunk is not None]
    return store.make(
        "segmenter",
        version=_VERSION,
        config={
            "training": canonical(config),
            "count": [pairs.count for pairs in material.training],
            "weights": canonical(material.weights),
            "validation": material.validation.count if material.validation else 0,
            "device": device_identity(backend.device),
            **({"shrunk": sides} if sides else {}),
        },
        parents=material.parents,
        build=build,
        cost=cost,
        device=backend.device,
    )


def save_fit(job: FitJob, result: FitResult) -> dict[str, Any]:
    """Write a finished training into its folder.

    Args:
        job: What was trained.
        result: What came out.

    Returns:
        Facts for the manifest.
    """
    result.segmenter.save(job.folder / "segmenter.safetensors")
    with replacing(job.folder / "losses.parquet") as part:
        curve = curve_table(result.losses, result.validation)
        pq.write_table(pa.Table.from_pandas(curve, preserve_index=False), part)
    last = result.validation[-1] if result.validation else None
    return {
        "validation_iou": result.validation_iou,
        "validation_loss": last.loss if last else None,
        "foreground_share": result.foreground_share,
        "final_loss": float(result.losses[-1]),
        "peak_memory_mib": round(peak_memory_mib(job.device), 1),
    }


def peak_memory_mib(device: str) -> float:
    """Largest memory so far: of the GPU if the device is one, else of this process, in MiB."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
