"""Features or latents of large sets of pictures, in parts: what a process anywhere needs for one.

A part is a fixed range of pictures, and what was taken of them a file; parts are put together in
their order. So what is known of a set is the same to the last bit wherever its parts were taken,
and what was interrupted goes on with the parts that are missing. Features give the statistics of
Fréchet distances; latents are what Voynov et al. 2021, section 3.3, sample near.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gseg.arrays import load_numpy
from gseg.exactness import device_identity
from gseg.features.named import features_name, open_features
from gseg.features.networks import NetworkFeatures
from gseg.generators.encoders import EncoderChoice, PictureEncoder
from gseg.picture_files import UnreadableImageError
from gseg.pipeline.costs import embed_seconds, features_seconds
from gseg.pipeline.jobs.draw import sampled_generator
from gseg.pipeline.jobs.job import Backend, Job, Listen, run_missing
from gseg.samples.config import LatentConfig
from gseg.samples.latents import Embeddings, save_embeddings
from gseg.scores.feature_statistics import FeatureStatistics, collect_statistics, join_statistics
from gseg.scores.picture_sources import (
    SCENES_RESOLUTION,
    FolderPictures,
    GeneratedPictures,
    PictureSource,
    ResizedPictures,
    ScenesPictures,
)
from gseg.storage.damage import DamagedError, put_aside
from gseg.storage.digests import digest, since
from gseg.storage.files import check_unchanged, replacing
from gseg.storage.manifests import OLDER, note_doubt
from gseg.storage.mirror import describe, discard, exists, fetch

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_BATCH: Final = 100
# In the source that the statistics of a part tell, before the part's name.
_PART_OF: Final = ", part "


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
        planned: Identity that a folder must have; empty to take what is there.
        shown: Side to which a generator's pictures and scenes are brought when they are made; None
            for that at which they are made.
    """

    generator: str = ""
    latents: LatentConfig = field(default_factory=LatentConfig)
    seed: int = 0
    count: int = 0
    folder: Path | None = None
    resolution: int | None = None
    shown: int | None = since("0.1", None)
    planned: str = field(default="", compare=False)

    def open(
        self, device: str = "cpu", progress: Callable[[int, int], object] | None = None
    ) -> PictureSource:
        """Make the pictures available; those of a generator are made when they are asked for.

        Args:
            device: Where a generator computes.
            progress: See `gseg.scores.picture_sources.FolderPictures`.

        Raises:
            ChangedInputsError: A folder holds other pictures than were planned.
        """
        # One record for three kinds, and not three records: it goes into names as it is.
        if self.folder is not None:
            found = FolderPictures(self.folder, resolution=self.resolution, progress=progress)
            check_unchanged(str(self.folder), found.identity, self.planned)
            return found
        made: ScenesPictures | GeneratedPictures
        if not self.generator:
            made = ScenesPictures(self.count, resolution=self.resolution or SCENES_RESOLUTION)
        else:
            generator = sampled_generator(self.generator, device, self.latents)
            made = GeneratedPictures(generator, self.count, latents=self.latents, seed=self.seed)
        return made if self.shown is None else ResizedPictures(made, self.shown)


@dataclass(frozen=True, kw_only=True, slots=True)
class PicturesJob(Job[None]):
    """A job whose parts are ranges of pictures, each a file: what is there is not made again.

    Attributes:
        pictures: The set.
        total: How many it has.
        folder: Where parts go.
        device: Kind of device.
    """

    part_size: ClassVar[int]
    """Pictures of a part."""

    pictures: PictureSet
    total: int
    folder: Path
    device: str = "cpu"

    @property
    def parts(self) -> range:
        """Numbers of all parts."""
        return range(math.ceil(self.total / self.part_size))

    def missing(self) -> list[int]:
        """Number the parts whose files are not there yet."""
        return [part for part in self.parts if not exists(self.path(part))]

    def path(self, part: int) -> Path:
        """Name the file of a part."""
        return self.folder / f"part-{part:05d}.npz"

    def name(self, part: int) -> str:
        """Say which part of which work it is: a file of other work is not taken for it."""
        return f"{self.folder.name}/{part}"

    def check(self, part: int, found: str) -> None:
        """Make sure that a file is this part.

        Args:
            part: Its number.
            found: Its name as the file says it; empty for those of older versions.

        Raises:
            DamagedError: It is another.
        """
        if found and found != self.name(part):
            raise DamagedError(
                f"{describe(self.path(part))} is part {found} of other work, not {self.name(part)}."
            )
        if not found:
            note_doubt(f"parts of unfinished work do not say of which: {OLDER}", self.path(part))

    def read(self, part: int, load: Callable[[int], _T]) -> _T:
        """Read the file of a part; one that is damaged is put aside.

        Args:
            part: Its number.
            load: Reads it, once it is here.

        Raises:
            DamagedError: It is damaged.
        """
        fetch(self.path(part))
        try:
            return load(part)
        except DamagedError as error:
            put_aside(self.path(part), error)
            raise

    def rows(self, part: int) -> range:
        """Number the pictures of a part."""
        return range(self.total)[part * self.part_size : (part + 1) * self.part_size]

    def size(self, part: int) -> int:
        """Count the pictures of a part."""
        return len(self.rows(part))

    def check_pictures(self) -> None:
        """Make sure that the pictures of a folder did not change while they were read.

        Raises:
            ChangedInputsError: They did; what was taken of them is removed.
        """
        if self.pictures.folder is None:
            return
        try:
            self.pictures.open()
        except ValueError:
            self.clear()
            raise

    def clear(self) -> None:
        """Remove the files."""
        for part in self.parts:
            discard(self.path(part))


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasureJob(PicturesJob):
    """Taking the features of a set of pictures.

    Attributes:
        features: Name of the feature network; see `gseg.features.named.open_features`.
    """

    # The moments of Inception features are 32 MB a part, however many pictures it has.
    part_size: ClassVar[int] = 2_500

    features: str

    def seconds(self, parts: Sequence[int]) -> float:
        """Estimate taking the features of parts."""
        pictures = sum(map(self.size, parts))
        return features_seconds(self.pictures.generator, pictures, self.features, self.device)

    def open(self) -> Callable[[int, Listen], None]:
        """Make ready to take features; each part is written, whole or not at all."""
        # A pool's process may do many parts: source and network are made once for all.
        source = self.pictures.open(self.device)
        extractor = _cached_features(self.features, self.device)

        def do(part: int, listen: Listen) -> None:
            def batches() -> Iterator[Tensor]:
                for pictures in source.batches(self.rows(part)):
                    yield pictures
                    listen(len(pictures))

            first, name = self.rows(part).start, f"{source.name}{_PART_OF}{self.name(part)}"
            collect_statistics(
                batches(), extractor, source=name, first=first, count=self.total
            ).save(self.path(part))

        return do

    def collect(self) -> FeatureStatistics:
        """Merge the parts, in their order: the statistics of the whole set."""
        return join_statistics([self.read(part, self._load) for part in self.parts])

    def _load(self, part: int) -> FeatureStatistics:
        name = features_name(self.features)
        try:
            found = FeatureStatistics.load(self.path(part), name, part=True)
        except ValueError as error:
            raise DamagedError(str(error)) from error
        source, _, told = found.source.partition(_PART_OF)
        self.check(part, told)
        return replace(found, source=source)


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedJob(PicturesJob):
    """Finding the latents of a set of pictures at the encoder's size.

    Attributes:
        encoder: Whose latents.
        skip_bad: Whether pictures that cannot be read are left out and listed.
    """

    part_size: ClassVar[int] = 1_000

    encoder: EncoderChoice
    skip_bad: bool = False

    def seconds(self, parts: Sequence[int]) -> float:
        """Estimate finding the latents of parts."""
        return embed_seconds(sum(map(self.size, parts)))

    def open(self) -> Callable[[int, Listen], None]:
        """Make ready to find latents; each part is written, whole or not at all.

        Raises:
            ValueError: The encoder cannot be opened; a picture cannot be read, or there are no
                latents, when a part is done.
        """
        source, encoder = _cached_source(self), _cached_encoder(self.encoder, self.device)

        def do(part: int, listen: Listen) -> None:
            latents, names = [], []
            skipped: list[str] = []
            rows = self.rows(part)
            for start in range(0, len(rows), _BATCH):
                batch = rows[start : start + _BATCH]
                pictures, numbers, names_here = self._read(source, batch, skipped)
                if len(pictures):
                    latents.append(encoder(pictures, numbers))
                    names += names_here
                listen(len(batch))
            # A part of pictures that cannot be read is a part all the same: it is not tried again.
            width = self.encoder.latent_dim or 0
            found = torch.cat(latents) if latents else torch.empty(0, width)
            with replacing(self.path(part)) as file, file.open("wb") as opened:
                np.savez(
                    opened,
                    latents=found.numpy(),
                    pictures=np.array(names, dtype=np.str_),
                    skipped=np.array(skipped, dtype=np.str_),
                    part=np.array(self.name(part)),
                )

        return do

    def _read(
        self, source: PictureSource, rows: range, skipped: list[str]
    ) -> tuple[Tensor, Sequence[int], list[str]]:
        """Read those pictures that can be read, with their numbers and names; list the others."""
        # Pictures that are made can always be read.
        if not isinstance(source, FolderPictures):
            return torch.cat(list(source.batches(rows))), rows, [str(row) for row in rows]
        pictures, numbers = [], []
        for row in rows:
            try:
                pictures.append(source.read(row))
                numbers.append(row)
            except UnreadableImageError as error:
                if not self.skip_bad:
                    told = str(error).rstrip(".")
                    raise ValueError(
                        f"{told}. Remove the file, or leave such files out with --skip-bad."
                    ) from error
                skipped.append(str(error))
        found = torch.stack(pictures) if pictures else torch.empty(0)
        return found, numbers, [source.relative_name(row) for row in numbers]

    def collect(self) -> Embeddings:
        """Join the parts, in their order: the latents of the whole set.

        Raises:
            ValueError: No picture could be read.
        """
        latents, names, skipped = [], [], []
        for part in self.parts:
            stored = self.read(part, self._load)
            # Without pictures the width of the latents may be unknown, 0.
            if len(stored["pictures"]):
                latents.append(stored["latents"])
            names += stored["pictures"].tolist()
            skipped += stored["skipped"].tolist()
        if not latents:
            raise ValueError(
                f"None of {self.total} pictures could be read; the first: {skipped[0]}"
            )
        return Embeddings(
            latents=np.concatenate(latents), pictures=tuple(names), skipped=tuple(skipped)
        )

    def _load(self, part: int) -> dict[str, NDArray[Any]]:
        try:
            stored = load_numpy(self.path(part))
        except ValueError as error:
            raise DamagedError(str(error)) from error
        if not {"latents", "pictures", "skipped"} <= stored.keys():
            raise DamagedError(f"{describe(self.path(part))} holds no latents.")
        self.check(part, str(stored.get("part", "")))
        return stored


def embed_job(
    pictures: PictureSet,
    encoder: EncoderChoice,
    folder: Path,
    *,
    skip_bad: bool = False,
    device: str = "cpu",
    progress: Callable[[int, int], object] | None = None,
) -> EmbedJob:
    """Make the job of a set of pictures at the encoder's size.

    Its parts are in a folder below `folder` that is named by what decides the latents.
    """
    source = pictures.open(device, progress)
    # Named by content: a folder to which pictures were added is another job, not half of this one.
    identity = (source.identity, encoder, skip_bad, device_identity(device))
    return EmbedJob(
        pictures=replace(pictures, planned=source.identity),
        total=len(source),
        encoder=encoder,
        folder=folder / digest("embeddings", *identity),
        skip_bad=skip_bad,
        device=device,
    )


def collected(job: PicturesJob, run: Callable[[], object], collect: Callable[[], _T]) -> _T:
    """Do the parts of a job that are missing and put all together; damaged ones are done again.

    Args:
        job: The job.
        run: Does what is missing.
        collect: Puts the parts together.
    """
    for _ in job.parts:
        run()
        try:
            return collect()
        except DamagedError as error:  # put aside, and missing now
            _log.info("Once more: %s", error)
    run()
    return collect()


def embed_pictures(
    job: EmbedJob, backend: Backend, progress: Callable[[int, int], object]
) -> Embeddings:
    """Find the latents of a set of pictures; parts that are there are not made again.

    Args:
        job: Of the set.
        backend: Who works.
        progress: Called with pictures done and pictures in all.
    """

    def run() -> None:
        run_missing(job, job.total, backend, progress)
        job.check_pictures()

    return collected(job, run, job.collect)


def save_found(path: Path, found: Embeddings, job: EmbedJob) -> None:
    """Write latents to an ``.npy`` file with where they come from; see `save_embeddings`."""
    encoder = job.encoder
    # Beside the latents, for whoever finds the file: what may sample near them.
    told = {
        "encoder": encoder.name,
        "encoder_digest": encoder.digest,
        "sampled": encoder.sampled,
        "generator": encoder.generator,
        "resolution": encoder.resolution,
        "source": _cached_source(job).name,
    }
    save_embeddings(path, found, told)


@lru_cache(maxsize=2)
def _cached_source(job: EmbedJob) -> PictureSource:
    return job.pictures.open(job.device)


@lru_cache(maxsize=2)
def _cached_encoder(choice: EncoderChoice, device: str) -> PictureEncoder:
    return choice.open(device)


# Generated and real pictures of a distance go through one network, loaded once.
@lru_cache(maxsize=2)
def _cached_features(spec: str, device: str) -> NetworkFeatures:
    return open_features(spec, device=device)
