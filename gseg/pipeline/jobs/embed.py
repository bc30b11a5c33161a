"""Finding the latents of a set of pictures as plain data: what a process anywhere needs for a part.

Voynov et al. 2021, section 3.3, sample latents near those of a data set's pictures. A part is a
fixed range of pictures and its latents a file, so that what was interrupted goes on with the parts
that are missing, wherever each of them is made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from gseg.exactness import device_identity
from gseg.generators.own_encoder import EncoderChoice, PictureEncoder
from gseg.picture_files import UnreadableImageError
from gseg.pipeline.costs import embed_seconds
from gseg.pipeline.jobs.job import Backend, Listen, RangesJob, run_missing
from gseg.pipeline.jobs.measure import PictureSet
from gseg.samples.embedding_files import Embeddings, save_embeddings
from gseg.scores.picture_sources import FolderPictures, PictureSource
from gseg.storage.mirror import fetch
from gseg.storage.store import digest, replacing

PART: Final = 1_000
"""Pictures of a part."""
_BATCH: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbedJob(RangesJob):
    """Finding the latents of a set of pictures.

    Attributes:
        pictures: The set, at the encoder's size.
        total: How many it has.
        encoder: Whose latents.
        folder: Where parts go.
        skip_bad: Whether pictures that cannot be read are left out and listed.
        device: Kind of device.
    """

    pictures: PictureSet
    total: int
    encoder: EncoderChoice
    folder: Path
    skip_bad: bool = False
    device: str = "cpu"

    @property
    def part_size(self) -> int:
        return PART

    def seconds(self, parts: Sequence[int]) -> float:
        """Estimate finding the latents of parts."""
        return embed_seconds(sum(map(self.size, parts)))

    def open(self) -> Callable[[int, Listen], None]:
        """Make ready to find latents; each part is written, whole or not at all.

        Returns:
            What does a part.

        Raises:
            ValueError: The encoder cannot be opened; a picture cannot be read, or there are no
                latents, when a part is done.
        """
        source, encoder = _cached_source(self), _cached_encoder(self.encoder, self.device)

        def do(part: int, listen: Listen) -> None:
            self._save(part, *self._embed(source, encoder, self.rows(part), listen))

        return do

    def _embed(
        self, source: PictureSource, encoder: PictureEncoder, rows: range, listen: Listen
    ) -> tuple[Tensor, list[str], list[str]]:
        latents: list[Tensor] = []
        names: list[str] = []
        skipped: list[str] = []
        for first in range(rows.start, rows.stop, _BATCH):
            batch = range(first, min(first + _BATCH, rows.stop))
            read = _read(source, batch, skipped, skip_bad=self.skip_bad)
            if read is not None:
                latents.append(encoder(read.pictures, read.numbers))
                names += read.names
            listen(len(batch))
        found = torch.cat(latents) if latents else torch.empty(0, self.encoder.latent_dim or 0)
        return found, names, skipped

    def _save(self, part: int, latents: Tensor, names: list[str], skipped: list[str]) -> None:
        with replacing(self.path(part)) as file, file.open("wb") as opened:
            np.savez(
                opened,
                latents=latents.numpy(),
                pictures=np.array(names, dtype=np.str_),
                skipped=np.array(skipped, dtype=np.str_),
            )

    def collect(self) -> Embeddings:
        """Join the parts, in their order.

        Returns:
            The latents of the whole set.

        Raises:
            ValueError: No picture could be read.
        """
        latents, names, skipped = [], [], []
        for part in self.parts:
            fetch(self.path(part))
            with np.load(self.path(part), allow_pickle=False) as stored:
                if len(stored["pictures"]):
                    latents.append(stored["latents"])
                names += [str(name) for name in stored["pictures"]]
                skipped += [str(reason) for reason in stored["skipped"]]
        if not latents:
            raise ValueError(
                f"None of {self.total} pictures could be read; the first: {skipped[0]}"
            )
        return Embeddings(
            latents=np.concatenate(latents), pictures=tuple(names), skipped=tuple(skipped)
        )

    @property
    def name(self) -> str:
        """Digest of what decides the latents."""
        source, device = _cached_source(self), device_identity(self.device)
        return digest("embeddings", source.identity, self.encoder, self.skip_bad, device)


def embed_pictures(
    job: EmbedJob, backend: Backend, progress: Callable[[int, int], object]
) -> Embeddings:
    """Find the latents of a set of pictures; parts that are there are not made again.

    Args:
        job: Of the set.
        backend: Who works.
        progress: Called with pictures done and pictures in all.

    Returns:
        The latents.
    """
    run_missing(job, job.total, backend, progress, at_once=True)
    return job.collect()


def save_found(path: Path, found: Embeddings, job: EmbedJob) -> None:
    """Write latents with where they come from; see `gseg.samples.embedding_files`.

    Args:
        path: ``.npy`` file.
        found: What was found.
        job: As it was found.
    """
    told = {
        "encoder": job.encoder.name,
        "encoder_digest": job.encoder.digest,
        "sampled": job.encoder.sampled,
        "generator": job.encoder.generator,
        "resolution": job.encoder.resolution,
        "source": _cached_source(job).name,
    }
    save_embeddings(path, found, told)


@dataclass(frozen=True, slots=True)
class _Read:
    pictures: Tensor
    numbers: Sequence[int]
    names: list[str]


def _read(
    source: PictureSource, rows: range, skipped: list[str], *, skip_bad: bool
) -> _Read | None:
    """Read pictures; None if none of them can be read."""
    if not isinstance(source, FolderPictures):
        return _Read(torch.cat(list(source.batches(rows))), rows, [str(row) for row in rows])
    pictures, numbers, names = [], [], []
    for row in rows:
        try:
            pictures.append(source.read(row))
        except UnreadableImageError as error:
            if not skip_bad:
                told = str(error).rstrip(".")
                raise ValueError(
                    f"{told}. Remove the file, or leave such files out with --skip-bad."
                ) from error
            skipped.append(str(error))
            continue
        numbers.append(row)
        names.append(source.relative_name(row))
    return _Read(torch.stack(pictures), numbers, names) if pictures else None


@lru_cache(maxsize=2)
def _cached_source(job: EmbedJob) -> PictureSource:
    return job.pictures.open(job.device)


@lru_cache(maxsize=2)
def _cached_encoder(choice: EncoderChoice, device: str) -> PictureEncoder:
    return choice.open(device)


def embed_job(
    pictures: PictureSet,
    encoder: EncoderChoice,
    folder: Path,
    *,
    skip_bad: bool = False,
    device: str = "cpu",
) -> EmbedJob:
    """Make the job of a set of pictures, with its parts in a folder of their own.

    Args:
        pictures: The set, at the encoder's size.
        encoder: Whose latents.
        folder: Parts go into a folder below it that is named by what decides the latents.
        skip_bad: See `EmbedJob`.
        device: Kind of device.

    Returns:
        The job.
    """
    draft = EmbedJob(
        pictures=pictures,
        total=len(pictures.open(device)),
        encoder=encoder,
        folder=folder,
        skip_bad=skip_bad,
        device=device,
    )
    return replace(draft, folder=folder / draft.name)
