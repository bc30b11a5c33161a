"""The stages of large sets of pictures: their latents, their features, and distances.

Latents of real pictures are what Voynov et al. 2021, section 3.3, sample near; statistics of
features give the distance of a generator to its data set.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ClassVar, Final

from gseg.features.named import features_name
from gseg.generators.cards import GeneratorCard
from gseg.generators.encoders import EncoderChoice, choose_encoder
from gseg.generators.weights import weights_digest
from gseg.pipeline.costs import features_seconds
from gseg.pipeline.experiment import DistanceConfig
from gseg.pipeline.graph import Node, Stage, Workshop
from gseg.pipeline.jobs.pictures import (
    MeasureJob,
    PictureSet,
    collected,
    embed_job,
    embed_pictures,
    save_found,
)
from gseg.samples.config import LatentConfig
from gseg.samples.latents import near_embeddings
from gseg.scores.feature_statistics import FeatureStatistics
from gseg.scores.fid import compare
from gseg.storage.checksums import file_digest
from gseg.storage.digests import canonical
from gseg.storage.mirror import names
from gseg.storage.store import Artifact, Cost, Store

EMBEDDINGS: Final = "embeddings.npy"
"""Name of the file in the artifact's folder."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingsNode(Stage):
    """The latents of a set of pictures, ``embeddings.npy`` and ``embeddings.parquet``.

    Its facts: ``count``, ``width`` and ``skipped``.

    Attributes:
        pictures: At the encoder's size.
        encoder: Whose latents.
    """

    stage: ClassVar[str] = "embeddings"
    word: ClassVar[str] = "embedding"

    pictures: PictureSet
    encoder: EncoderChoice

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        encoder = self.encoder
        return {
            "pictures": self.pictures.open(self.device).identity,
            # An encoder of one's own is named by its file's digest, wherever the file lies.
            "encoder": canonical(replace(encoder, name="" if encoder.digest else encoder.name)),
            "skip_bad": False,  # names hold it from when a stage could leave pictures out
        }

    def parents(self, shop: Workshop) -> Sequence[str]:
        return [] if self.encoder.digest else [weights_digest(self.encoder.name)]

    def cost(self, shop: Workshop) -> Cost:
        count = len(self.pictures.open(self.device))
        return Cost(seconds=features_seconds("", count, "scenes", self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Find the latents; parts that are there are not made again."""
        job = embed_job(self.pictures, self.encoder, folder, device=self.device)
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


_FILE: Final = "statistics.npz"


@dataclass(frozen=True, kw_only=True)
class StatisticsNode(Stage):
    """The statistics of the features of a set of pictures, ``statistics.npz``.

    Attributes:
        pictures: The set.
        features: Name of the feature network.
        embeddings: Node of what a generator's latents lie near, unless that is in a file.
    """

    stage: ClassVar[str] = "statistics"
    word: ClassVar[str] = "feature set"

    pictures: PictureSet
    features: str
    embeddings: EmbeddingsNode | None = None

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        return {
            "pictures": replace(self.pictures, folder=None),  # a parent names what is in it
            "features": features_name(self.features),
        }

    def parents(self, shop: Workshop) -> Sequence[Node[Any] | str]:
        # Pictures that are there are named by their content, generated ones by what makes them.
        if not self.pictures.generator:
            return [self.pictures.open().identity]
        weights = weights_digest(self.pictures.generator)
        return [weights, *([self.embeddings] if self.embeddings else [])]

    def cost(self, shop: Workshop) -> Cost:
        made, total = self.pictures.generator, self._total()
        return Cost(seconds=features_seconds(made, total, self.features, self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Take the features, part by part."""
        pictures, total = self.pictures, self._total()
        if self.embeddings is not None:
            file = shop.make(self.embeddings).folder / EMBEDDINGS
            pictures = replace(pictures, latents=with_file(pictures.latents, file))
        if pictures.folder is not None:
            pictures = replace(pictures, planned=str(self.parents(shop)[0]))
        job = MeasureJob(
            pictures=pictures,
            total=total,
            features=self.features,
            folder=folder,
            device=self.device,
        )

        def run() -> None:
            shop.run(job, total, "distance")
            job.check_pictures()

        whole = collected(job, run, job.collect)
        whole.save(folder / _FILE)
        job.clear()  # the whole is kept; its parts would be as much again
        return {"pictures": total, "source": whole.source, "features": whole.features}

    def read(self, shop: Workshop) -> FeatureStatistics:
        """Read the statistics, which have been made."""
        made = shop.make(self)
        return FeatureStatistics.load(made.folder / _FILE, features_name(self.features))

    def _total(self) -> int:
        return self.pictures.count if self.pictures.generator else len(self.pictures.open())


@dataclass(frozen=True, kw_only=True)
class DistanceNode(Stage):
    """The distance between a generator's pictures and a reference.

    Its facts: ``value`` and ``protocol``; ``kernel``, ``kernel_deviation`` and
    ``kernel_protocol``, ``precision``, ``recall`` and ``precision_recall_protocol``, None where the
    reference has no vectors.

    Attributes:
        generated: Of the generator.
        reference: What it is compared with; None for statistics in a file.
        file: Those.
    """

    stage: ClassVar[str] = "distance"
    version: ClassVar[int] = 3

    generated: StatisticsNode
    reference: StatisticsNode | None = None
    file: Path | None = None

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        """Give the settings that name it: its parents say all."""
        return {}

    def parents(self, shop: Workshop) -> Sequence[Node[Artifact] | str]:
        """Give what it is made from.

        Raises:
            ValueError: There is no such file of statistics.
        """
        if self.reference is not None:
            return [self.generated, self.reference]
        assert self.file is not None
        if not self.file.is_file():
            raise ValueError(f"{self.file}: there is no such file of statistics.")
        return [self.generated, file_digest(self.file)]

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Compare."""
        name = features_name(self.generated.features)
        file = shop.make(self.reference).folder / _FILE if self.reference else self.file
        assert file is not None
        distance = compare(self.generated.read(shop), _read_once(file, name))
        # Both None where a file has moments alone.
        kernel, shares = distance.kernel, distance.precision_recall
        return {
            "value": distance.value,
            "protocol": distance.protocol,
            "kernel": kernel.value if kernel else None,
            "kernel_deviation": kernel.deviation if kernel else None,
            "kernel_protocol": kernel.protocol if kernel else None,
            "precision": shares.precision if shares else None,
            "recall": shares.recall if shares else None,
            "precision_recall_protocol": shares.protocol if shares else None,
        }

    def values(self, shop: Workshop) -> dict[str, Any]:
        """Give the columns of rows that tell of it.

        The seconds are those of the generator's pictures and their features, not of the
        reference, which generators share.
        """
        # Made already: to make is to look here.
        made, generated = shop.make(self), shop.make(self.generated)
        parts = [made, generated, *([shop.make(self.reference)] if self.reference else [])]
        facts = made.facts
        return {
            "fid": facts["value"],
            "fid_protocol": facts["protocol"],
            "kid": facts["kernel"],
            "kid_deviation": facts["kernel_deviation"],
            "kid_protocol": facts["kernel_protocol"],
            "generator_precision": facts["precision"],
            "generator_recall": facts["recall"],
            "precision_recall_protocol": facts["precision_recall_protocol"],
            "fid_seconds": generated.seconds + made.seconds,
            "fid_reused": all(part.reused for part in parts),
        }


def distance_node(
    card: GeneratorCard, config: DistanceConfig | None, latents: LatentConfig, device: str
) -> DistanceNode | None:
    """Say what measures the distance of a generator's pictures to a reference.

    Args:
        card: Of the generator; its name is one of the catalogue.
        config: How many pictures, in which features, against what.
        latents: Where latents and labels come from: those of the samples that are trained on.
        device: Kind of device.

    Returns:
        The node; None if none is asked for, or if the generator cannot be compared with the
        reference: with scenes, only one of them.
    """
    if config is None or (config.reference == "scenes" and not card.draws_scenes):
        return None
    pictures = PictureSet(
        generator=card.name, latents=latents, seed=config.seed, count=config.count
    )
    generated = StatisticsNode(
        pictures=pictures,
        features=config.features,
        embeddings=embeddings_node(latents, card, device),
        device=device,
    )
    # Real pictures are brought to the generator's size: features depend on it.
    kind, _, path = config.reference.partition(":")
    if kind == "file":
        return DistanceNode(generated=generated, file=Path(path).expanduser())
    real = PictureSet(count=config.count, resolution=card.resolution)
    if kind == "folder":
        real = PictureSet(folder=Path(path), resolution=card.resolution)
    reference = StatisticsNode(pictures=real, features=config.features, device=device)
    return DistanceNode(generated=generated, reference=reference)


# A reference of Inception features is 32 MB and compared with every generator of a sweep; its
# folder names its content, so that what was read stays right.
_read_once = lru_cache(maxsize=1)(FeatureStatistics.load)
