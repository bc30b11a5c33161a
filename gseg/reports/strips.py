"""A strip of pictures with the masks that were found, from the best to the worst."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from gseg.images import contact_sheet, tinted
from gseg.picture_files import SUFFIXES, read_image, read_mask
from gseg.storage.store import replacing


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A picture file and what was found in it.

    Attributes:
        picture: The file.
        mask: The file of the mask that was found.
        truth: The file of the true mask, if there is one.
        iou: Of the two masks; None without a true one.
    """

    picture: Path
    mask: Path
    truth: Path | None = None
    iou: float | None = None


def find_truths(folder: Path) -> dict[str, Path]:
    """List the masks in a folder.

    Args:
        folder: Holds mask files.

    Returns:
        The files by their names without suffix.

    Raises:
        ValueError: There is no such folder, or no mask in it.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    truths = {file.stem: file for file in files if file.suffix.lower() in SUFFIXES}
    if not truths:
        raise ValueError(f"{folder} is no folder of masks.")
    return truths


def compare_masks(masks: Mapping[Path, Path], truths: Mapping[str, Path]) -> list[Found]:
    """Compare masks with true ones of the same names.

    Args:
        masks: Mask file of each picture file.
        truths: From `find_truths`; pictures without one are left out.

    Returns:
        The pictures, those with the highest IoU first.

    Raises:
        ValueError: No picture has a true mask, or one is of another size.
    """
    found = [
        Found(picture=picture, mask=mask, truth=truth, iou=_iou(mask, truth))
        for picture, mask in masks.items()
        if (truth := truths.get(picture.stem)) is not None
    ]
    if not found:
        raise ValueError(
            "None of the pictures has a true mask: they are paired by their names without suffix."
        )
    return sorted(found, key=lambda each: -(each.iou or 0.0))


def draw_strip(path: Path, found: Sequence[Found], *, columns: int, tile: int = 96) -> None:
    """Draw pictures side by side, their masks below.

    Args:
        path: PNG file.
        found: At least one; what is drawn is spread evenly over them, the first and the last
            included.
        columns: Pictures to draw, at least 1.
        tile: Side of a cell in pixels.
    """
    last, drawn = len(found) - 1, min(columns, len(found))
    chosen = [found[round(k * last / max(drawn - 1, 1))] for k in range(drawn)]
    rows = {"picture": [read_image(each.picture) for each in chosen]}
    if all(each.truth is not None for each in chosen):
        rows["truth"] = [read_mask(each.truth) for each in chosen if each.truth is not None]
    rows["found"] = [
        tinted(picture, read_mask(each.mask))
        for picture, each in zip(rows["picture"], chosen, strict=True)
    ]
    headings = [f"IoU {each.iou:.2f}" for each in chosen if each.iou is not None]
    sheet = contact_sheet(list(rows.values()), tile=tile, columns=headings, labels=list(rows))
    with replacing(path) as part:
        sheet.save(part, format="PNG")


def spread_text(found: Sequence[Found]) -> str:
    """Say how good the masks are, in words.

    Args:
        found: From `compare_masks`.

    Returns:
        Such as ``IoU with the true masks: best 0.94, median 0.83, worst 0.06``.
    """
    ious = [each.iou for each in found if each.iou is not None]
    return (
        f"IoU with the true masks: best {max(ious):.2f}, median {median(ious):.2f}, "
        f"worst {min(ious):.2f}"
    )


def _iou(mask: Path, truth: Path) -> float:
    first, second = read_mask(mask), read_mask(truth)
    if first.shape != second.shape:
        raise ValueError(f"{truth} is {_size(second)}, its picture {_size(first)}.")
    together = int(torch.logical_or(first, second).sum())
    return int(torch.logical_and(first, second).sum()) / together if together else 1.0


def _size(mask: Tensor) -> str:
    height, width = mask.shape
    return f"{width}x{height}"
