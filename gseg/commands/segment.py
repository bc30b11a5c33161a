"""``gseg segment``: masks for a user's own pictures."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from rich.console import Console

from gseg.commands.bars import progress_bar
from gseg.scores.folders import SUFFIXES
from gseg.segmenters import Ensemble, Predictor, Segmenter
from gseg.segmenters.segment import segment_files

_FILE: Final = "segmenter.safetensors"
_SHIPPED: Final = "scenes"
"""What the segmenter that comes with the package is called."""


def segment(options: argparse.Namespace, console: Console) -> int:
    """Segment pictures.

    Args:
        options: ``images``, ``model``, ``out``, ``overlay``, ``threshold``, ``size``, ``device``.
        console: Hears what was skipped, and how many masks there are.

    Returns:
        Exit status: 0, or 1 if a file could not be read.

    Raises:
        ValueError: The model or the pictures are not there, or an option is out of range.
    """
    pictures = [file for path in options.images for file in _pictures(path, options.out)]
    segmenter = _load(options.model or [Path(_SHIPPED)], options.device)
    with progress_bar("segmenting") as progress:
        done = segment_files(
            segmenter,
            pictures,
            options.out,
            working_size=options.size,
            threshold=options.threshold,
            overlay=options.overlay,
            progress=progress,
        )
    for reason in done.skipped.values():
        console.print(f"skipped: {reason}", markup=False)
    total = len(done.masks) + len(done.skipped)
    failed = f"; {len(done.skipped)} could not be read" if done.skipped else ""
    console.print(
        f"{len(done.masks):,} masks for {total:,} pictures in {options.out}{failed}", markup=False
    )
    return 1 if done.skipped else 0


def _pictures(path: Path, out: Path) -> Iterator[Path]:
    """Give a file as it is, and of a folder all pictures below it except earlier masks."""
    if not path.exists():
        raise ValueError(f"there is no file or folder {path}.")
    if not path.is_dir():
        yield path
        return
    masks = out.resolve()
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.suffix.lower() in SUFFIXES
        and not file.name.startswith(".")
        and masks not in file.resolve().parents
    ]
    if not found:
        raise ValueError(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))}).")
    yield from found


def _load(paths: Sequence[Path], device: str) -> Predictor:
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("PyTorch finds no GPU on this machine; leave --device out.")
    segmenters = [_load_one(path, device) for path in paths]
    return segmenters[0] if len(segmenters) == 1 else Ensemble(segmenters)


def _load_one(path: Path, device: str) -> Segmenter:
    if str(path) == _SHIPPED and not path.exists():
        return Segmenter.shipped(device=device)
    return Segmenter.load(_file(path), device=device)


def _file(path: Path) -> Path:
    """Find the segmenter's file if a folder of the storage is given."""
    if not path.is_dir() or (path / _FILE).is_file():
        return path / _FILE if path.is_dir() else path
    others = sorted(
        file.parent for depth in ("*", "segmenter/*") for file in path.glob(f"{depth}/{_FILE}")
    )
    hint = (
        f"choose one of its {len(others)} segmenters, such as {others[0]}"
        if others
        else ("give a segmenter's file, or a folder segmenter/<hash> of a sweep's storage")
    )
    raise ValueError(f"{path} holds no {_FILE}; {hint}.")
