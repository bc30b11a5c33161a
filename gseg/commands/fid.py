"""``gseg fid``: the distance between a generator or a folder and a reference."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from gseg.commands.bars import progress_bar
from gseg.commands.working import working
from gseg.features.named import features_name
from gseg.generators.cards import GeneratorCard
from gseg.generators.catalogue import find_card
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.jobs.pictures import PictureSet
from gseg.pipeline.progress import Report
from gseg.pipeline.stages.distance import StatisticsNode
from gseg.samples.config import LatentConfig
from gseg.samples.latents import near_embeddings
from gseg.scores.feature_statistics import FeatureStatistics
from gseg.scores.fid import Distance, compare
from gseg.scores.picture_sources import SCENES_RESOLUTION
from gseg.storage.files import write_atomically
from gseg.storage.mirror import storage_folder
from gseg.storage.store import Store


def measure(options: argparse.Namespace, console: Console) -> int:
    """Measure a distance.

    Args:
        options: See `gseg.commands.fid_options`.
        console: Hears the distance with its protocol.

    Returns:
        Exit status 0.

    Raises:
        ValueError: Pictures, reference or features are not there, or do not go together.
    """
    generator = None if _is_path(options.pictures) else find_card(options.pictures)
    with working(options) as backend, progress_bar("features") as progress:

        def report(stage: str, done: int, total: int, detail: str = "") -> None:
            progress(done, total)

        pictures = _statistics(options.pictures, options, generator, backend, report)
        count = pictures.count or options.count
        reference = _statistics(options.reference, options, generator, backend, report, count)
    distance = compare(pictures, reference)
    if options.save:
        pictures.save(options.save)
    if options.json:
        write_atomically(options.json, json.dumps(asdict(distance), indent=1).encode())
    _tell(distance, generator, console)
    return 0


def _statistics(
    what: str,
    options: argparse.Namespace,
    generator: GeneratorCard | None,
    backend: Backend,
    report: Report,
    count: int = 0,
) -> FeatureStatistics:
    """Read statistics from a file, or take them."""
    if what.endswith(".npz"):
        return FeatureStatistics.load(Path(what), features_name(options.features))
    node = StatisticsNode(
        pictures=_picture_set(what, options, generator, count),
        features=options.features,
        device=options.device,
    )
    return node.read(Workshop(Store(storage_folder(options.storage).absolute()), backend, report))


def _picture_set(
    what: str, options: argparse.Namespace, generator: GeneratorCard | None, count: int
) -> PictureSet:
    side = options.resolution or (generator.resolution if generator else None)
    if what == "scenes":
        return PictureSet(count=count or options.count, resolution=side or SCENES_RESOLUTION)
    if _is_path(what):
        return PictureSet(folder=Path(what).absolute(), resolution=side)
    return PictureSet(
        generator=what, latents=_latents(options), seed=options.seed, count=options.count
    )


def _latents(options: argparse.Namespace) -> LatentConfig:
    if options.embeddings:
        if options.truncation is not None or options.classes:
            raise ValueError("Embeddings come without --truncation and --classes.")
        return near_embeddings(options.embeddings, alpha=options.alpha)
    return LatentConfig(truncation=options.truncation, classes=tuple(options.classes))


def _is_path(what: str) -> bool:
    """Say whether this is no generator's name."""
    return what == "scenes" or what.endswith(".npz") or Path(what).is_dir()


def _tell(distance: Distance, generator: GeneratorCard | None, console: Console) -> None:
    lines = [f"Fréchet distance {distance.value:.4f} ({distance.protocol})"]
    if distance.kernel is not None:
        kernel = distance.kernel
        spread = "" if kernel.deviation is None else f" ± {kernel.deviation:.6f}"
        lines.append(f"kernel distance {kernel.value:.6f}{spread} ({kernel.protocol})")
    if generator is not None and generator.published_fid is not None:
        lines.append(f"published {generator.published_fid:g} ({generator.fid_protocol})")
    for line in lines:
        console.print(line, markup=False)
