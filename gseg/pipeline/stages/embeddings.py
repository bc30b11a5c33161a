"""The stage that finds the latents of real pictures (Voynov et al. 2021, section 3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from gseg.generators.cards import GeneratorCard
from gseg.generators.encoders import EncoderChoice, choose_encoder
from gseg.generators.weights import weights_digest
from gseg.pipeline.costs import features_seconds
from gseg.pipeline.graph import Stage, Workshop
from gseg.pipeline.jobs.pictures import PictureSet, embed_job, embed_pictures, save_found
from gseg.samples.config import LatentConfig
from gseg.samples.latents import near_embeddings
from gseg.storage.digests import canonical, file_digest
from gseg.storage.mirror import names
from gseg.storage.store import Cost, Store

EMBEDDINGS: Final = "embeddings.npy"
"""Name of the file in the artifact's folder."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingsNode(Stage):
    """The latents of a set of pictures, ``embeddings.npy`` and ``embeddings.parquet``.

    Its facts: ``count``, ``width`` and ``skipped``.

    Attributes:
        pictures: At the encoder's size.
        encoder: Whose latents.
        skip_bad: Whether pictures that cannot be read are left out.
    """

    stage: ClassVar[str] = "embeddings"
    word: ClassVar[str] = "embedding"

    pictures: PictureSet
    encoder: EncoderChoice
    skip_bad: bool = False

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        encoder = self.encoder
        return {
            "pictures": self.pictures.open(self.device).identity,
            # An encoder of one's own is named by its file's digest, wherever the file lies.
            "encoder": canonical(replace(encoder, name="" if encoder.digest else encoder.name)),
            "skip_bad": self.skip_bad,
        }

    def parents(self, shop: Workshop) -> Sequence[str]:
        return [] if self.encoder.digest else [weights_digest(self.encoder.name)]

    def cost(self, shop: Workshop) -> Cost:
        count = len(self.pictures.open(self.device))
        return Cost(seconds=features_seconds("", count, "scenes", self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Find the latents; parts that are there are not made again."""
        job = embed_job(
            self.pictures, self.encoder, folder, skip_bad=self.skip_bad, device=self.device
        )
        found = embed_pictures(job, shop.backend, partial(shop.report, "embeddings"))
        save_found(folder / EMBEDDINGS, found, job)
        job.clear()
        count, width = found.latents.shape
        return {"count": count, "width": width, "skipped": list(found.skipped)}


def embeddings_node(
    latents: LatentConfig, card: GeneratorCard, device: str
) -> EmbeddingsNode | None:
    """Say which embeddings have to be made before latents can be drawn.

    Args:
        latents: Where latents come from.
        card: Of the generator that takes them.
        device: Kind of device.

    Returns:
        What makes them; None for the prior, and where they are in a file.

    Raises:
        ValueError: The encoder is another generator's.
    """
    scenes = latents.scenes
    if scenes is None:
        return None
    encoder = choose_encoder(scenes.encoder, card, sampled=True)
    return EmbeddingsNode(
        pictures=PictureSet(count=scenes.count, resolution=encoder.resolution),
        encoder=encoder,
        device=device,
    )


def with_file(latents: LatentConfig, file: Path) -> LatentConfig:
    """Give latents near embeddings that have been made.

    Args:
        latents: Which embeddings, and how far from them.
        file: Of the embeddings.
    """
    found = near_embeddings(file)
    return replace(
        latents, scenes=None, embeddings=found.embeddings, embeddings_digest=found.embeddings_digest
    )


def find_embeddings(store: Store, content: str) -> Path | None:
    """Find the file of embeddings that this stage left, by its digest.

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
    # Reading every file to digest it takes long, but happens only if the user's own file is gone.
    for name in sorted(there):
        found = store.find("embeddings", name)
        if found is not None and file_digest(found.folder / EMBEDDINGS) == content:
            return found.folder / EMBEDDINGS
    return None
