"""Pictures in a page: small enough to be part of it, and those that a sweep has left."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image

from gseg.reports.content import Section, Sheet

NO_PICTURES: Final = (
    "No pictures: the sweep's storage was not given or does not hold these trials (--storage DIR), "
    "and the sweep's own contact sheets are not beside the rows."
)
_LEFT: Final = (
    "The sweep's own contact sheets: a picture, shifted lighter and darker, and its mask; a "
    "benchmark's picture, its true mask and the prediction. Rejected candidates, and the best and "
    "the worst predictions, need the sweep's storage (--storage DIR)."
)
_QUALITY: Final = 85
_CHART: Final = "distance*.png"
"""Charts of a sweep, which a page draws itself."""


def make_sheet(image: Image.Image, *, caption: str, of: str = "") -> Sheet:
    """Compress a picture for a page.

    Args:
        image: RGB.
        caption: Below it.
        of: The heading that it shares with its neighbours.

    Returns:
        The sheet, as WebP: a third of what it takes as PNG, with letters that stay sharp.
    """
    buffer = BytesIO()
    image.save(buffer, format="WEBP", quality=_QUALITY, method=6)
    return Sheet(
        webp=buffer.getvalue(), width=image.width, height=image.height, caption=caption, of=of
    )


def left_pictures(folder: Path, generators: Iterable[str]) -> Section | None:
    """Show the contact sheets of generators that a sweep has left beside its rows.

    Args:
        folder: Such as ``results/all_gans_figures``; may be missing.
        generators: Catalogue names.

    Returns:
        A section with a sheet for each generator; None if there is none.

    Raises:
        ValueError: A file is damaged; the message names it.
    """
    names = {sheet_name(name) for name in generators}
    paths = [path for path in _files(folder) if path.stem in names]
    if not paths:
        return None
    return Section(anchor="pictures", title="Pictures", text=(_LEFT,), parts=_read(paths))


def left_figures(folder: Path, generators: Iterable[str] = ()) -> Section | None:
    """Show what else a sweep has drawn, such as strips or failure cases.

    Args:
        folder: Such as ``results/strips_figures``; may be missing.
        generators: Catalogue names, whose contact sheets are left out.

    Returns:
        A section with a sheet for each file; None if there is none.

    Raises:
        ValueError: A file is damaged; the message names it.
    """
    names = {sheet_name(name) for name in generators}
    charts = set(folder.glob(_CHART))
    paths = [path for path in _files(folder) if path.stem not in names and path not in charts]
    if not paths:
        return None
    return Section(anchor="figures", title="Figures", parts=_read(paths))


def figures_folder(results: Path) -> Path:
    """Say where a sweep leaves what it draws."""
    return results.with_name(f"{results.name}_figures")


def sheet_name(generator: str) -> str:
    """Reduce a generator's name to what may be a file's: one of the user's own holds a path."""
    return Path(generator).name.replace(":", "-")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.png"), key=lambda path: path.stem)


def _read(paths: Iterable[Path]) -> tuple[Sheet, ...]:
    sheets = []
    for path in paths:
        try:
            with Image.open(path) as image:
                sheets.append(make_sheet(image.convert("RGB"), caption=path.stem))
        except OSError as error:
            raise ValueError(
                f"Cannot read the picture {path}: {error}. Remove it, or write it again by running "
                "its sweep."
            ) from error
    return tuple(sheets)
