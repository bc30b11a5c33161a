"""``gseg scenes``: embedded pictures with their masks as a benchmark folder."""

from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from gseg.commands.app import Count, Number, OutFolder, Side, console
from gseg.commands.bars import progress_bar
from gseg.interruptions import will_begin_again
from gseg.scenes.versions import SCENES, VERSIONS

# That of the embedded generators' pictures, in pixels.
_SIDE: Final = 32
_PIXELS_AT_ONCE: Final = 2**18
_FOLDERS: Final = ("images", "masks")


def scenes(
    out: OutFolder,
    /,
    *,
    count: Count,
    first: Number = 3_000_000,
    resolution: Side = _SIDE,
    version: Annotated[str, Parameter(choices=tuple(VERSIONS))] = SCENES.name,
) -> int:
    """Write embedded pictures with their exact masks.

    They are PNG files in OUT/images and OUT/masks, a benchmark that sweeps take as --benchmark
    folder:OUT.

    Args:
        out: Folder, made if missing.
        count: How many pictures.
        first: Number of the first picture; those below 1,000,000 are for training, from 3,000,000
            on the benchmark of that version scores.
        resolution: Side in pixels.
        version: Kind of scenes; the generators that ship were trained on the first.

    Raises:
        ValueError: An option is out of range, or the folder holds other pictures.
    """
    will_begin_again()
    write_scenes(out, range(first, first + count), resolution, version)
    console().print(
        f"{count:,} pictures with masks in {out}; sweeps score on them with --benchmark "
        f"folder:{out}"
    )
    return 0


def write_scenes(out: Path, indices: range, side: int = _SIDE, version: str = SCENES.name) -> None:
    """Write pictures and masks as a benchmark folder.

    Args:
        out: Receives ``images/`` and ``masks/``.
        indices: Of the scenes.
        side: Of the pictures in pixels.
        version: Of the scenes.

    Raises:
        ValueError: The folder holds other pictures.
    """
    from gseg.picture_files import encode_png
    from gseg.scenes.pictures import render
    from gseg.storage.files import write_atomically

    names = [f"{index:07d}.png" for index in indices]
    _check_folder(out, set(names))
    at_once = max(1, _PIXELS_AT_ONCE // side**2)
    with progress_bar("rendering") as progress:
        for start in range(0, len(names), at_once):
            part = slice(start, start + at_once)
            found = render(indices[part], resolution=side, version=version)
            for name, *pair in zip(names[part], found.pictures, found.masks, strict=True):
                for folder, pixels in zip(_FOLDERS, pair, strict=True):
                    write_atomically(out / folder / name, encode_png(pixels), durable=False)
            progress(min(start + at_once, len(names)), len(names))


def _check_folder(out: Path, names: set[str]) -> None:
    """Refuse to mix with other files; what the same command wrote before may stay."""
    for folder in (out / name for name in _FOLDERS):
        others = sorted({file.name for file in folder.glob("*")} - names)
        if others:
            raise ValueError(
                f"{folder} holds other files, such as {others[0]}; choose another OUT."
            )
