"""``gseg embed``: latents of pictures, for samples that resemble them."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from gseg.commands.app import OutArray, Side, console
from gseg.commands.bars import progress_bar, reading_bar
from gseg.commands.given import Needs, needs
from gseg.commands.working import HERE, Working

if TYPE_CHECKING:
    from gseg.pipeline.jobs.pictures import PictureSet

_SCENES: Final = "scenes:"


@needs(
    Needs(
        options=("--skip-bad",),
        met=lambda given: not given.values("PICTURES")[0].startswith(_SCENES),
        lacking=f"on {_SCENES}COUNT",
        instead="give a folder of pictures",
    )
)
def embed(
    pictures: str,
    /,
    *,
    encoder: str,
    out: OutArray,
    generator: Annotated[str | None, Parameter(name="--for")] = None,
    size: Side | None = None,
    sampled: bool = False,
    skip_bad: bool = False,
    working: Working = HERE,
) -> int:
    """Find the latents of pictures with an encoder, for samples that resemble these pictures.

    Each picture's middle square is resized to the encoder's size (Voynov et al. 2021, section
    3.3). What was interrupted goes on. A function of your own takes pictures (N, 3, R, R), float32
    in [-1, 1], and gives latents (N, latent_dim) of its generator. Exit status 1 if files were
    left out.

    Args:
        pictures: Folder of pictures, with everything below it, or scenes:COUNT for the first
            pictures that embedded generators are trained on.
        encoder: Generator whose encoder ships with gseg (bigbigan.scenes32-large), or a function:
            FILE.py:FUNCTION or MODULE:FUNCTION.
        out: File .npy of latents, an array as the official program's files have it; a .parquet
            beside it names each latent's picture.
        generator: Generator whose latents these shall be; what does not fit it is an error.
        size: Side of the pictures that a function takes; without it that of --for.
        sampled: Draw each latent from the distribution that a shipped encoder gives, instead of
            taking its mean: what a picture does not decide then varies as in the prior.
        skip_bad: Leave out files that cannot be read, and list them, instead of stopping.
        working: Where the work is done.

    Raises:
        ValueError: Pictures or encoder are not there, or do not fit.
    """
    from gseg.generators.catalogue import find_card, full_name
    from gseg.generators.encoders import choose_encoder
    from gseg.picture_files import list_pictures
    from gseg.pipeline.jobs.pictures import embed_job, embed_pictures, save_found
    from gseg.storage.callables import absolute_callable, is_callable_name

    card = find_card(full_name(generator)) if generator else None
    chosen = choose_encoder(encoder, card, resolution=size, sampled=sampled)
    if is_callable_name(chosen.name):
        chosen = replace(chosen, name=absolute_callable(chosen.name))
    with reading_bar() as reading:
        job = embed_job(
            _picture_set(pictures, chosen.resolution),
            chosen,
            out.absolute().with_suffix(".parts"),
            skip_bad=skip_bad,
            device=working.device,
            progress=reading,
        )
    if job.pictures.folder is not None and (left := list_pictures(job.pictures.folder).left_out):
        console().print(left)
    with working.backend() as backend, progress_bar("embedding") as progress:
        found = embed_pictures(job, backend, progress)
    save_found(out, found, job)
    job.clear()
    # The folder above the parts stays while those of another command are there.
    for folder in (job.folder, job.folder.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for reason in found.skipped:
        console().print(f"skipped: {reason}")
    count, width = found.latents.shape
    console().print(f"{out}: latents of {count:,} pictures, {width} wide")
    return int(bool(found.skipped))


def _picture_set(name: str, resolution: int) -> "PictureSet":
    """Read which pictures are meant: a folder's, or ``scenes:COUNT``."""
    from gseg.pipeline.jobs.pictures import PictureSet
    from gseg.scores.specs import parse_spec

    if not name.startswith(_SCENES):
        return PictureSet(folder=Path(name).expanduser().absolute(), resolution=resolution)
    count = name.removeprefix(_SCENES)
    parse_spec(name)  # the same words as those of a benchmark
    return PictureSet(count=int(count), resolution=resolution)
