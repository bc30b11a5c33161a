"""The stage that finds the latents of real pictures (Voynov et al. 2021, section 3.3)."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from gseg.exactness import device_identity
from gseg.generators.identity import weights_digest
from gseg.generators.own_encoder import EncoderChoice
from gseg.pipeline.backend import LocalBackend
from gseg.pipeline.costs import features_seconds
from gseg.pipeline.jobs.embed import embed_job, embed_pictures, save_found
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.jobs.measure import PictureSet
from gseg.pipeline.progress import Report
from gseg.storage.mirror import names
from gseg.storage.store import Artifact, Cost, Store, canonical, file_digest

_VERSION: Final = 1
EMBEDDINGS: Final = "embeddings.npy"
"""Name of the file in the artifact's folder."""


def make_embeddings(
    store: Store,
    pictures: PictureSet,
    encoder: EncoderChoice,
    report: Report,
    *,
    backend: Backend | None = None,
    skip_bad: bool = False,
    device: str = "cpu",
) -> Artifact:
    """Find the latents of a set of pictures.

    Args:
        store: Where they are or will be.
        pictures: At the encoder's size.
        encoder: Whose latents.
        report: Hears of the pictures.
        backend: Who works; this process by default.
        skip_bad: Whether pictures that cannot be read are left out.
        device: Kind of device.

    Returns:
        An artifact with ``embeddings.npy`` and ``embeddings.parquet``; facts: ``count``, ``width``
        and ``skipped``.
    """
    source = pictures.open(device)

    def build(folder: Path) -> dict[str, Any]:
        job = embed_job(pictures, encoder, folder, skip_bad=skip_bad, device=device)
        found = embed_pictures(job, backend or LocalBackend(device), partial(report, "embeddings"))
        save_found(folder / EMBEDDINGS, found, job)
        job.clear()
        count, width = found.latents.shape
        return {"count": count, "width": width, "skipped": list(found.skipped)}

    shipped = [] if encoder.digest else [weights_digest(encoder.name)]
    return store.make(
        "embeddings",
        version=_VERSION,
        config={
            "pictures": source.identity,
            "encoder": canonical(replace(encoder, name="" if encoder.digest else encoder.name)),
            "skip_bad": skip_bad,
            "device": device_identity(device),
        },
        parents=shipped,
        build=build,
        cost=lambda: Cost(seconds=features_seconds("", len(source), "scenes", device)),
        device=device,
    )


def find_embeddings(store: Store, content: str) -> Path | None:
    """Find the file of embeddings that `make_embeddings` left, by its digest.

    Args:
        store: Where to look.
        content: Digest of the file, see `LatentConfig.embeddings_digest`.

    Returns:
        The file; None if none of the store's is it.

    Raises:
        StorageError: The object store does not answer, or what it gives is damaged.
    """
    folder = store.root / "embeddings"
    there = {each.name for each in folder.glob("*")} | {
        each.split("/")[0] for each in names(folder)
    }
    for name in sorted(there):
        found = store.find("embeddings", name)
        if found is not None and file_digest(found.folder / EMBEDDINGS) == content:
            return found.folder / EMBEDDINGS
    return None
