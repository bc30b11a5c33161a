"""The contact sheet of a generator: what its direction does, and what its segmenter finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor

from gseg.images import contact_sheet
from gseg.storage.store import replacing

_COLUMNS: Final = (
    "picture",
    "lighter",
    "darker",
    "mask",
    "benchmark",
    "truth",
    "prediction",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetRow:
    """One row of a generator's contact sheet: a sample, and a benchmark picture beside it.

    Attributes:
        picture: (3, R, R) G(z).
        lighter: (3, R, R) shifted along v_l.
        darker: (3, R, R) shifted along v_d.
        mask: (R, R) bool.
        benchmark: (3, H, W) a labelled picture.
        truth: (H, W) bool, its mask.
        prediction: (h, w) float in [0, 1], the segmenter's foreground probability.
    """

    picture: Tensor
    lighter: Tensor
    darker: Tensor
    mask: Tensor
    benchmark: Tensor
    truth: Tensor
    prediction: Tensor


def generator_sheet(path: Path, rows: Sequence[SheetRow], *, tile: int = 96) -> None:
    """Draw a contact sheet: sample, shifted lighter and darker, mask; picture, truth, prediction.

    Args:
        path: PNG file.
        rows: At least one.
        tile: Side of a cell in pixels.
    """
    cells = [[getattr(row, name) for name in _COLUMNS] for row in rows]
    sheet = contact_sheet(cells, tile=tile, columns=_COLUMNS)
    with replacing(path) as part:
        sheet.save(part, format="PNG")
