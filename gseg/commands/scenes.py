"""``gseg scenes``: embedded pictures with their masks as a benchmark folder."""

import argparse
from pathlib import Path
from typing import Final

from rich.console import Console

from gseg.commands.bars import progress_bar
from gseg.picture_files import encode_png
from gseg.pipeline.jobs.train import SCENES_SIDE
from gseg.scenes.pictures import render
from gseg.storage.files import write_atomically

_PIXELS_AT_ONCE: Final = 2**18
_SMALLEST: Final = 8
_FOLDERS: Final = ("images", "masks")


def write(options: argparse.Namespace, console: Console) -> int:
    """Write pictures and masks.

    Args:
        options: ``out``, ``count``, ``first``, ``resolution``.
        console: Hears how to use the folder.

    Returns:
        Exit status 0.

    Raises:
        ValueError: An option is out of range, or the folder holds other pictures.
    """
    out, side = options.out, options.resolution
    if options.count < 1 or options.first < 0 or side < _SMALLEST:
        raise ValueError(
            f"--count is at least 1, --first at least 0 and --resolution at least {_SMALLEST}, "
            f"got {options.count}, {options.first} and {side}."
        )
    write_scenes(out, range(options.first, options.first + options.count), side)
    console.print(
        f"{options.count:,} pictures with masks in {out}; sweeps score on them with "
        f"--benchmark folder:{out}",
        markup=False,
    )
    return 0


def write_scenes(out: Path, indices: range, side: int = SCENES_SIDE) -> None:
    """Write pictures and masks as a benchmark folder.

    Args:
        out: Receives ``images/`` and ``masks/``.
        indices: Of the scenes.
        side: Of the pictures in pixels.

    Raises:
        ValueError: The folder holds other pictures.
    """
    names = [f"{index:07d}.png" for index in indices]
    _check_folder(out, set(names))
    at_once = max(1, _PIXELS_AT_ONCE // side**2)
    with progress_bar("rendering") as progress:
        for start in range(0, len(names), at_once):
            scenes = render(indices[start : start + at_once], resolution=side)
            for name, picture, mask in zip(
                names[start : start + at_once], scenes.pictures, scenes.masks, strict=True
            ):
                write_atomically(out / "images" / name, encode_png(picture))
                write_atomically(out / "masks" / name, encode_png(mask))
            progress(min(start + at_once, len(names)), len(names))


def _check_folder(out: Path, names: set[str]) -> None:
    """Refuse to mix with other files; what the same command wrote before may stay."""
    for folder in (out / name for name in _FOLDERS):
        others = sorted({file.name for file in folder.glob("*")} - names)
        if others:
            raise ValueError(
                f"{folder} holds other files, such as {others[0]}; choose another OUT."
            )
