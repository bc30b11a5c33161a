"""``gseg embed``: latents of pictures, for samples that resemble them."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Final

from rich.console import Console

from gseg.commands.bars import progress_bar
from gseg.commands.working import working
from gseg.generators.catalogue import find_card
from gseg.generators.encoders import EncoderChoice, choose_encoder
from gseg.pipeline.jobs.pictures import (
    EmbedJob,
    PictureSet,
    embed_job,
    embed_pictures,
    save_found,
)
from gseg.storage.callables import absolute_callable, is_callable_name

_SCENES: Final = "scenes:"


def embed(options: argparse.Namespace, console: Console) -> int:
    """Find latents and write them.

    Args:
        options: See `gseg.commands.embed_options`.
        console: Hears what was skipped, and where the latents are.

    Returns:
        Exit status: 0, or 1 if a picture could not be read and was skipped.

    Raises:
        ValueError: Pictures or encoder are not there, or do not fit.
    """
    if options.out.suffix != ".npy":
        raise ValueError(f"--out takes a file that ends in .npy, got {options.out}.")
    if options.size is not None and options.size < 1:
        raise ValueError(f"--size is at least 1, got {options.size}.")
    encoder = _encoder(options)
    job = embed_job(
        picture_set(options.pictures, encoder.resolution),
        encoder,
        options.out.absolute().with_suffix(".parts"),
        skip_bad=options.skip_bad,
        device=options.device,
    )
    with working(options) as backend, progress_bar("embedding") as progress:
        found = embed_pictures(job, backend, progress)
    save_found(options.out, found, job)
    _clear(job)
    for reason in found.skipped:
        console.print(f"skipped: {reason}", markup=False)
    count, width = found.latents.shape
    console.print(f"{options.out}: latents of {count:,} pictures, {width} wide", markup=False)
    return 1 if found.skipped else 0


def picture_set(name: str, resolution: int) -> PictureSet:
    """Read which pictures are meant.

    Args:
        name: A folder, or ``scenes:COUNT``.
        resolution: Side to which they are brought.

    Returns:
        The set.

    Raises:
        ValueError: The count is none.
    """
    if not name.startswith(_SCENES):
        return PictureSet(folder=Path(name).expanduser().absolute(), resolution=resolution)
    count = name.removeprefix(_SCENES)
    if not count.isdecimal() or int(count) < 1:
        raise ValueError(f"scenes:COUNT needs a number of pictures, such as scenes:10000; {name}.")
    return PictureSet(count=int(count), resolution=resolution)


def _encoder(options: argparse.Namespace) -> EncoderChoice:
    card = find_card(options.generator) if options.generator else None
    chosen = choose_encoder(options.encoder, card, resolution=options.size, sampled=options.sampled)
    if not is_callable_name(chosen.name):
        return chosen
    return replace(chosen, name=absolute_callable(chosen.name))


def _clear(job: EmbedJob) -> None:
    """Remove the parts, and the folder above them unless other parts are there."""
    job.clear()
    for folder in (job.folder, job.folder.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
