"""The stages that take features of pictures and measure a generator's distance to its data set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from gseg.exactness import device_identity
from gseg.features import features_name
from gseg.generators.contract import GeneratorCard
from gseg.generators.identity import weights_digest
from gseg.pipeline.costs import features_seconds
from gseg.pipeline.experiment import DistanceConfig
from gseg.pipeline.jobs.job import Backend, counted
from gseg.pipeline.jobs.measure import MeasureJob, PictureSet
from gseg.pipeline.progress import Report
from gseg.samples import LatentConfig
from gseg.scores.feature_statistics import FeatureStatistics
from gseg.scores.fid import compare
from gseg.storage.store import Artifact, Cost, Store, file_digest

_STATISTICS_VERSION: Final = 1
_DISTANCE_VERSION: Final = 2
_FILE: Final = "statistics.npz"


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredDistance:
    """A distance, and what it cost.

    Attributes:
        facts: ``value`` and ``protocol``; ``kernel``, ``kernel_deviation`` and
            ``kernel_protocol``, None where the reference has no vectors.
        seconds: Of the generator's pictures and their features; not of the reference, which
            generators share.
        reused: Whether all of it was found in the storage.
    """

    facts: Mapping[str, Any]
    seconds: float
    reused: bool


def has_reference(card: GeneratorCard, config: DistanceConfig) -> bool:
    """Say whether a generator can be compared with the reference: with scenes, only one of them."""
    return config.reference != "scenes" or card.dataset == "scenes"


def make_distance(
    store: Store,
    card: GeneratorCard,
    config: DistanceConfig,
    latents: LatentConfig,
    backend: Backend,
    report: Report,
) -> MeasuredDistance:
    """Measure the distance of a generator's pictures to a reference.

    Args:
        store: Where it is or will be.
        card: Of the generator; its name is one of the catalogue.
        config: How many pictures, in which features, against what.
        latents: Where latents and labels come from: those of the samples that are trained on.
        backend: Who computes.
        report: Hears of the pictures.

    Returns:
        The distance.

    Raises:
        ValueError: Features or reference are not there, or do not go together.
    """
    pictures = PictureSet(
        generator=card.name, latents=latents, seed=config.seed, count=config.count
    )
    generated = make_statistics(store, pictures, config.features, backend, report)
    reference, parent, reused = _open_reference(store, card, config, backend, report)

    def build(folder: Path) -> dict[str, Any]:
        distance = compare(read_statistics(generated, config.features), reference())
        kernel = distance.kernel
        return {
            "value": distance.value,
            "protocol": distance.protocol,
            "kernel": kernel.value if kernel else None,
            "kernel_deviation": kernel.deviation if kernel else None,
            "kernel_protocol": kernel.protocol if kernel else None,
        }

    made = store.make(
        "distance",
        version=_DISTANCE_VERSION,
        config={},
        parents=[generated.digest, parent],
        build=build,
    )
    return MeasuredDistance(
        facts=made.facts,
        seconds=generated.seconds + made.seconds,
        reused=made.reused and generated.reused and reused,
    )


def make_statistics(
    store: Store, pictures: PictureSet, features: str, backend: Backend, report: Report
) -> Artifact:
    """Take the features of a set of pictures, part by part.

    Args:
        store: Where they are or will be.
        pictures: The set.
        features: Name of the feature network.
        backend: Who computes.
        report: Hears of the pictures.

    Returns:
        An artifact with ``statistics.npz``; `read_statistics` reads it.
    """
    if pictures.generator:
        total, identity = pictures.count, weights_digest(pictures.generator)
    else:
        source = pictures.open()
        total, identity = len(source), source.identity

    def open_job(folder: Path) -> MeasureJob:
        return MeasureJob(
            pictures=pictures,
            total=total,
            features=features,
            folder=folder,
            device=backend.device,
        )

    def build(folder: Path) -> dict[str, Any]:
        job = open_job(folder)
        missing = job.missing()
        done = total - sum(map(job.size, missing))
        backend.run(job, missing, counted(partial(report, "distance"), done, total))
        whole = job.collect()
        whole.save(folder / _FILE)
        job.clear()
        return {"pictures": total, "source": whole.source, "features": whole.features}

    def cost() -> Cost:
        return Cost(seconds=features_seconds(pictures.generator, total, features, backend.device))

    return store.make(
        "statistics",
        version=_STATISTICS_VERSION,
        config={
            "pictures": replace(pictures, folder=None),
            "features": features_name(features),
            "device": device_identity(backend.device),
        },
        parents=[identity],
        build=build,
        cost=cost,
        device=backend.device,
    )


def read_statistics(made: Artifact, features: str) -> FeatureStatistics:
    """Read the statistics of an artifact of `make_statistics`.

    Args:
        made: The artifact.
        features: Name of the feature network that it was made with.

    Returns:
        The statistics.
    """
    return FeatureStatistics.load(made.folder / _FILE, features_name(features))


def _open_reference(
    store: Store, card: GeneratorCard, config: DistanceConfig, backend: Backend, report: Report
) -> tuple[Callable[[], FeatureStatistics], str, bool]:
    """Give what reads the reference, its name, and whether it was in the storage."""
    kind, _, path = config.reference.partition(":")
    if kind == "file":
        file, name = Path(path).expanduser(), features_name(config.features)
        if not file.is_file():
            raise ValueError(f"{file}: there is no such file of statistics.")
        return lambda: FeatureStatistics.load(file, name), file_digest(file), True
    pictures = PictureSet(count=config.count, resolution=card.resolution)
    if kind == "folder":
        pictures = PictureSet(folder=Path(path), resolution=card.resolution)
    made = make_statistics(store, pictures, config.features, backend, report)
    file = made.folder / _FILE
    return lambda: _read_once(file, config.features), made.digest, made.reused


@lru_cache(maxsize=1)
def _read_once(file: Path, features: str) -> FeatureStatistics:
    """Read a reference, whose folder names its content, for all that are compared with it."""
    return FeatureStatistics.load(file, features_name(features))
