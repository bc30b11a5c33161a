"""Masks for a user's own pictures as plain data; its parts are ranges of files."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from gseg.pipeline.costs import segment_seconds
from gseg.pipeline.jobs.job import Job, Listen
from gseg.segmenters.segment import SegmentedFiles, check_threshold, segment_to
from gseg.segmenters.segmenter import Ensemble, Predictor, Segmenter

PART: Final = 50
"""Files of a part."""
_USUAL_PIXELS: Final = 2**28
"""Larger pictures cost a warning, twice as large ones are skipped; a pixel takes about 25 bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentJob(Job[SegmentedFiles]):
    """Segmenting files.

    Attributes:
        files: Pictures, and where their masks go; see `gseg.segmenters.segment.name_masks`.
        models: Segmenters' files, None for the one that ships; several are an ensemble.
        working_size: Shorter side that the network sees; None for that of its training.
        threshold: Probability above which a pixel is foreground.
        overlay: Whether to write overlays too.
        device: Kind of device.
    """

    files: tuple[tuple[Path, Path], ...]
    models: tuple[Path | None, ...] = (None,)
    working_size: int | None = None
    threshold: float = 0.5
    overlay: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_threshold(self.threshold)

    def missing(self) -> range:
        """Number the parts: masks of an earlier call are replaced."""
        return range(math.ceil(len(self.files) / PART))

    def size(self, part: int) -> int:
        """Count the files of a part."""
        return len(self._files(part))

    def seconds(self, parts: Sequence[int]) -> float:
        """Estimate the segmenting of parts."""
        return segment_seconds(sum(map(self.size, parts)), self.device)

    def open(self) -> Callable[[int, Listen], SegmentedFiles]:
        """Make ready to segment parts."""
        members = [
            Segmenter.shipped(device=self.device)
            if path is None
            else Segmenter.load(path, device=self.device)
            for path in self.models
        ]
        predictor: Predictor = members[0] if len(members) == 1 else Ensemble(members)

        def do(part: int, listen: Listen) -> SegmentedFiles:
            with _huge_pictures():
                return segment_to(
                    predictor,
                    self._files(part),
                    working_size=self.working_size,
                    threshold=self.threshold,
                    overlay=self.overlay,
                    progress=lambda done, total: listen(1),
                )

        return do

    def collect(self, found: Mapping[int, SegmentedFiles]) -> SegmentedFiles:
        """Put the parts together, in their order."""
        masks: dict[Path, Path] = {}
        skipped: dict[Path, str] = {}
        for part in sorted(found):
            masks |= found[part].masks
            skipped |= found[part].skipped
        return SegmentedFiles(masks=masks, skipped=skipped)

    def _files(self, part: int) -> dict[Path, Path]:
        return dict(self.files[part * PART : (part + 1) * PART])


@contextmanager
def _huge_pictures() -> Iterator[None]:
    """Let Pillow open pictures that it would take for an attack: these are the user's own."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = _USUAL_PIXELS
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
