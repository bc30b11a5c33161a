"""The stage that trains a segmenter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gseg.exactness import device_identity
from gseg.pipeline.costs import fit_seconds
from gseg.pipeline.jobs.fit import FitJob, Material
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.progress import Report
from gseg.segmenters import FitConfig
from gseg.storage.mirror import discard
from gseg.storage.store import Artifact, Cost, Store, canonical

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
        facts = backend.train(job, report)
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
