"""Sets of pictures that feature statistics are taken of: a generator's, scenes, a folder."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.images import to_uint8
from gseg.picture_files import list_pictures, picture_size, read_image
from gseg.randomness import derive_seed
from gseg.samples.config import LatentConfig
from gseg.samples.latents import candidates, check_truncation
from gseg.scenes.pictures import VALIDATION_FIRST, render
from gseg.scenes.versions import SCENES_NAME
from gseg.scores.batches import shrink_picture
from gseg.storage.checksums import checksums

SCENES_SOURCE: Final = "scenes"
SCENES_RESOLUTION: Final = 32
_CHUNK: Final = 500
_BATCH: Final = 250


class ScenesPictures:
    """Embedded pictures, by default the first that generators of scenes are trained on.

    Args:
        count: Number of pictures.
        first: Index of the first.
        resolution: Side in pixels.

    Raises:
        ValueError: Training indices run on into validation indices.
    """

    name = SCENES_SOURCE

    def __init__(self, count: int, *, first: int = 0, resolution: int = SCENES_RESOLUTION) -> None:
        if first < VALIDATION_FIRST < first + count:
            raise ValueError(
                f"{count} scenes from {first} cross {VALIDATION_FIRST}, where validation starts."
            )
        self._count, self._first, self._resolution = count, first, resolution
        # Statistics that are stored are named by these words, the seed among them.
        self.identity = f"{SCENES_NAME} {first}+{count} seed=0 resolution={resolution}"

    def __len__(self) -> int:
        return self._count

    def batches(self, rows: range) -> Iterator[Tensor]:
        """Render them; see `PictureSource`."""
        for start in range(rows.start, rows.stop, _CHUNK):
            chunk = range(start, min(start + _CHUNK, rows.stop))
            numbers = range(self._first + chunk.start, self._first + chunk.stop)
            yield render(numbers, resolution=self._resolution).pictures


class FolderPictures:
    """All pictures in a folder and the folders below it, in the order of their names.

    Args:
        path: The folder.
        resolution: Bring each picture to this side, its middle square resized bilinearly with
            antialiasing, as training sets of generators are made; None to take it as it is.
        progress: Called with (files read, files to read) while a set that this machine has not seen
            is read, to name it by its content.

    Raises:
        ValueError: There is no such folder, or no picture in it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        resolution: int | None = None,
        progress: Callable[[int, int], object] | None = None,
    ) -> None:
        folder = Path(path).expanduser()
        if not folder.is_dir():
            raise ValueError(f"{folder}: there is no such folder of pictures.")
        found = list_pictures(folder).required()
        self._files, self.left_out = found.files, found.left_out
        self._folder, self._resolution = folder, resolution
        sums = checksums(self._files, progress)
        lines = (f"{self.relative_name(row)} {each}" for row, each in enumerate(sums))
        digest = hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()
        self.contents = frozenset(sums)
        """Checksums of the files."""
        size = "own size" if resolution is None else f"{resolution} px"
        # Protocols of distances have the name: a few digits tell sets apart there.
        self.name = f"{folder.resolve().name} [{digest[:8]}] at {size}"
        self.identity = f"folder {digest} at {size} of {len(self._files)}"

    def __len__(self) -> int:
        return len(self._files)

    def batches(self, rows: range) -> Iterator[Tensor]:
        """Read them; pictures of equal size that follow each other come together."""
        held: list[Tensor] = []
        for row in rows:
            picture = self.read(row)
            # Only what stands side by side: the order of the vectors is that of the names.
            if held and (len(held) == _BATCH or held[0].shape != picture.shape):
                yield torch.stack(held)
                held = []
            held.append(picture)
        if held:
            yield torch.stack(held)

    def shapes(self) -> set[tuple[int, int]]:
        """Give the sizes (H, W) that the pictures have; of the files that can be read."""
        found = set()
        for file in self._files:
            with suppress(OSError, ValueError):
                found.add(picture_size(file, upright=True))
        return found

    def relative_name(self, row: int) -> str:
        """Give a picture's path below the folder."""
        return self._files[row].relative_to(self._folder).as_posix()

    def read(self, row: int) -> Tensor:
        """Read a picture, (3, H, W) uint8; UnreadableImageError if the file is broken."""
        picture = read_image(self._files[row])
        if self._resolution is None:
            return picture
        # Rounded down, unlike a protocol's `centre_square`: statistics of such pictures exist.
        side = min(picture.shape[1:])
        top, left = ((length - side) // 2 for length in picture.shape[1:])
        square = picture[:, top : top + side, left : left + side]
        return shrink_picture(square, self._resolution, "text")


class GeneratedPictures:
    """Pictures of a generator, with latents and classes as its samples have them.

    Args:
        generator: On any device.
        count: Number of pictures.
        latents: Where latents and labels come from; that of the samples that a segmenter is
            trained on, so that the distance is of what it has seen.
        seed: Of the latents.

    Raises:
        ValueError: The generator was loaded with another truncation than `latents` says.
    """

    def __init__(
        self,
        generator: Generator,
        count: int,
        *,
        latents: LatentConfig | None = None,
        seed: int = 0,
    ) -> None:
        self._latents = latents or LatentConfig()
        check_truncation(generator, self._latents)
        self._generator, self._count = generator, count
        self._seed = derive_seed(seed, "fid")
        self.name = generator.card.name
        self.identity = f"{self.name} {count} seed={seed}"

    def __len__(self) -> int:
        return self._count

    @exact()
    @torch.inference_mode()
    def _make(self, rows: range) -> Tensor:
        generator = self._generator
        z, y = candidates(generator.card, self._latents, self._seed, rows, device=generator.device)
        return to_uint8(generator(generator.code(z), y))

    def batches(self, rows: range) -> Iterator[Tensor]:
        """Make them, on the generator's device; see `PictureSource`."""
        for start in range(rows.start, rows.stop, _BATCH):
            yield self._make(range(start, min(start + _BATCH, rows.stop)))


class ResizedPictures:
    """Pictures that were made, brought to another side as those of a `FolderPictures` are.

    Args:
        made: At their own side, squares.
        side: In pixels.
    """

    def __init__(self, made: ScenesPictures | GeneratedPictures, side: int) -> None:
        self._made, self._side = made, side
        self.name = f"{made.name} at {side} px"
        self.identity = f"{made.identity} at {side} px"

    def __len__(self) -> int:
        return len(self._made)

    def batches(self, rows: range) -> Iterator[Tensor]:
        """Make and resize them; see `PictureSource`."""
        for pictures in self._made.batches(rows):
            # One by one, on the CPU, as files are: the distance is to those.
            yield torch.stack([shrink_picture(each, self._side, "text") for each in pictures.cpu()])


PictureSource = ScenesPictures | FolderPictures | GeneratedPictures | ResizedPictures
"""Pictures whose number is known, and any part of which can be asked for: `batches` gives those
with some numbers, in order, (N, 3, H, W) uint8 each. `name` says in a few words which they are, and
`identity`, which goes into hashes, exactly."""
