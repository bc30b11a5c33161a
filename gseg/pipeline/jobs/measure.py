"""Taking the features of large sets of pictures in parts: what a process anywhere needs for one.

A part is a fixed range of pictures, and its statistics a file; parts merge in their order. So the
statistics of a set are the same to the last bit wherever its parts were taken, and what was
interrupted goes on with the parts that are missing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from torch import Tensor

from gseg.features.named import features_name, open_features
from gseg.features.networks import NetworkFeatures
from gseg.pipeline.costs import features_seconds
from gseg.pipeline.jobs.draw import sampled_generator
from gseg.pipeline.jobs.job import Listen, RangesJob
from gseg.samples.config import LatentConfig
from gseg.scores.feature_statistics import (
    FeatureStatistics,
    collect_statistics,
    join_statistics,
)
from gseg.scores.picture_sources import (
    SCENES_RESOLUTION,
    FolderPictures,
    GeneratedPictures,
    PictureSource,
    ScenesPictures,
)
from gseg.storage.mirror import fetch

PART: Final = 2_500
"""Pictures of a part: the moments of Inception features are 32 MB however many there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureSet:
    """Which pictures: a generator's, those of a folder, or else scenes.

    Attributes:
        generator: Catalogue name; empty for the others.
        latents: Where a generator's latents and labels come from.
        seed: Of a generator's latents.
        count: Number of generated pictures or scenes; a folder has its own.
        folder: Folder of pictures.
        resolution: Side of scenes; what pictures of a folder are brought to, None to leave them.
    """

    generator: str = ""
    latents: LatentConfig = field(default_factory=LatentConfig)
    seed: int = 0
    count: int = 0
    folder: Path | None = None
    resolution: int | None = None

    def open(self, device: str = "cpu") -> PictureSource:
        """Make the pictures available.

        Args:
            device: Where a generator computes.

        Returns:
            The pictures; those of a generator are made when they are asked for.
        """
        if self.folder is not None:
            return FolderPictures(self.folder, resolution=self.resolution)
        if not self.generator:
            return ScenesPictures(self.count, resolution=self.resolution or SCENES_RESOLUTION)
        generator = sampled_generator(self.generator, device, self.latents)
        return GeneratedPictures(generator, self.count, latents=self.latents, seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureJob(RangesJob):
    """Taking the features of a set of pictures.

    Attributes:
        pictures: The set.
        total: How many it has.
        features: Name of the feature network; see `gseg.features.named.open_features`.
        folder: Where parts go.
        device: Kind of device.
    """

    pictures: PictureSet
    total: int
    features: str
    folder: Path
    device: str = "cpu"

    @property
    def part_size(self) -> int:
        return PART

    def seconds(self, parts: Sequence[int]) -> float:
        """Estimate taking the features of parts."""
        pictures = sum(map(self.size, parts))
        return features_seconds(self.pictures.generator, pictures, self.features, self.device)

    def open(self) -> Callable[[int, Listen], None]:
        """Make ready to take features; each part is written, whole or not at all."""
        source = self.pictures.open(self.device)
        extractor = _cached_features(self.features, self.device)

        def do(part: int, listen: Listen) -> None:
            collect_statistics(
                _heard(source.batches(self.rows(part)), listen),
                extractor,
                source=source.name,
                first=self.rows(part).start,
                count=self.total,
            ).save(self.path(part))

        return do

    def collect(self) -> FeatureStatistics:
        """Merge the parts, in their order.

        Returns:
            The statistics of the whole set.
        """
        paths = [self.path(part) for part in self.parts]
        name = features_name(self.features)
        for path in paths:
            fetch(path)
        return join_statistics(FeatureStatistics.load(path, name) for path in paths)


def _heard(batches: Iterator[Tensor], listen: Listen) -> Iterator[Tensor]:
    for pictures in batches:
        yield pictures
        listen(len(pictures))


@lru_cache(maxsize=2)
def _cached_features(spec: str, device: str) -> NetworkFeatures:
    return open_features(spec, device=device)
