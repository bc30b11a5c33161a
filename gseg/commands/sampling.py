"""The options of sweeps about samples: where latents and labels come from, and which are kept."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Final

from gseg.commands.arguments import add_settings
from gseg.features.named import features_name, parse_features
from gseg.generators.catalogue import find_card
from gseg.pipeline.experiment import Experiment, LabelledPairs, SelectionConfig
from gseg.pipeline.stages.embeddings import embeddings_node
from gseg.recipes.grids import Grid
from gseg.samples.latents import LatentConfig, candidates, near_embeddings
from gseg.scores.batches import chosen_pictures
from gseg.scores.benchmarks import open_benchmark
from gseg.scores.picture_sources import FolderPictures
from gseg.scores.specs import absolute_spec

_UNIFORM: Final = "uniform"
_CANDIDATES_OF_EACH: Final = 20
"""Melas-Kyriazi et al. 2022, B.4: 50,000 of 1,000,000."""
_LABELLED: Final = 1_000
"""The same section's pictures of CUB."""


def add_sampling(group: argparse._ArgumentGroup) -> None:
    """Add the options to a parser.

    Args:
        group: Where they go.
    """
    add_settings(group, lambda each: each.path.startswith("samples.") and not each.is_seed)
    _add_latents(group)
    _add_nearest(group)
    _add_labelled(group)


def _add_latents(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--embeddings",
        type=Path,
        metavar="FILE",
        help="draw latents near a data set's embeddings (.npy, one row for each picture) instead "
        "of from the prior (Voynov et al. 2021, Eq. 6); their width must be the generators'. "
        "Default: the prior",
    )
    add(
        "--classes",
        nargs="+",
        metavar="CLASS",
        help="labels that are drawn: uniform, all of a generator's alike, or numbers from 0. "
        "Default: uniform",
    )
    add(
        "--class-weights",
        nargs="+",
        type=float,
        default=[],
        metavar="W",
        help="how often, relative to each other, each of --classes is drawn. Default: alike",
    )


def _add_nearest(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--nearest",
        type=Path,
        metavar="FOLDER",
        help="train on the samples nearest to the pictures in FOLDER (Melas-Kyriazi et al. 2022, "
        "B.4), as many as the data size",
    )
    add(
        "--nearest-candidates",
        type=int,
        metavar="N",
        help="samples that the nearest are chosen from. Default: 20 for each that is kept of the "
        "largest data size",
    )
    add(
        "--nearest-features",
        metavar="NAME",
        help="network whose features are compared: scenes, or resnet50:FILE. Default: scenes",
    )


def _add_labelled(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--labelled",
        metavar="NAME",
        help="pictures with true masks to train on as well, such as folder:PATH (Melas-Kyriazi et "
        "al. 2022, B.4). Default: none",
    )
    add(
        "--labelled-count",
        type=int,
        metavar="N",
        help="how many of them, chosen by the seed. Default: 1000",
    )
    add(
        "--labelled-weight",
        type=float,
        metavar="SHARE",
        help="their share, between 0 and 1, in what is trained on. Default: every pair, labelled "
        "or generated, counts the same",
    )


def with_sampling(grid: Grid, options: argparse.Namespace) -> Grid:
    """Apply the options to a grid.

    Args:
        grid: Settings.
        options: What `add_sampling` made.

    Returns:
        The grid with the options' latents, selection and labelled pictures.

    Raises:
        ValueError: Options exclude each other, or a value is out of range.
    """
    samples = replace(grid.samples, latents=_latents(options))
    largest = max(options.data_size or [grid.table_size or 0, *grid.data_sizes])
    return replace(
        grid,
        samples=samples,
        selection=_selection(options, largest),
        labelled=_labelled(options),
    )


def check_samples(experiment: Experiment) -> None:
    """Find out before any work whether a trial's latents, labels and selection can be had.

    Args:
        experiment: The trial.

    Raises:
        ValueError: Embeddings have another width, a class is not the generator's, or a folder of
            pictures cannot be read.
    """
    if experiment.labelled is not None:
        labelled = experiment.labelled
        chosen_pictures(open_benchmark(labelled.benchmark), labelled.seed, 0, labelled.count)
    if experiment.samples is None:
        return
    card = find_card(experiment.generator)
    latents = experiment.samples.latents
    if latents.classes and not card.num_classes:
        raise ValueError(
            f"{card.name} knows no classes: leave --classes out, or leave this generator out."
        )
    if embeddings_node(latents, card, "cpu") is None:
        candidates(card, latents, 0, [0])
    if experiment.selection is not None:
        features_name(experiment.selection.features)
        FolderPictures(experiment.selection.folder, resolution=card.resolution)


def _latents(options: argparse.Namespace) -> LatentConfig:
    found = LatentConfig()
    if options.embeddings is not None:
        found = near_embeddings(options.embeddings)
    return replace(
        found,
        classes=_classes(options.classes),
        class_weights=tuple(options.class_weights),
    )


def _classes(words: list[str] | None) -> tuple[int, ...]:
    if words is None or words == [_UNIFORM]:
        return ()
    if not all(word.isdecimal() for word in words):
        raise ValueError(
            f"--classes takes {_UNIFORM!r} alone, or numbers from 0, got {' '.join(words)}."
        )
    return tuple(int(word) for word in words)


def _labelled(options: argparse.Namespace) -> LabelledPairs | None:
    if options.labelled is None:
        _needs(options, "labelled", "labelled_count", "labelled_weight")
        return None
    return LabelledPairs(
        benchmark=absolute_spec(options.labelled, options.benchmarks_root),
        count=_LABELLED if options.labelled_count is None else options.labelled_count,
        side=1,  # every generator's own, when its trials are made
        weight=options.labelled_weight,
    )


def _needs(options: argparse.Namespace, missing: str, *names: str) -> None:
    for name in names:
        if getattr(options, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} goes with --{missing}, which is missing.")


def _selection(options: argparse.Namespace, largest: int) -> SelectionConfig | None:
    if options.nearest is None:
        _needs(options, "nearest", "nearest_candidates", "nearest_features")
        return None
    kind, file = parse_features(options.nearest_features or "scenes")
    features = kind if file is None else f"{kind}:{file.absolute()}"
    count = options.nearest_candidates
    return SelectionConfig(
        folder=str(options.nearest.expanduser().absolute()),
        candidates=_CANDIDATES_OF_EACH * largest if count is None else count,
        features=features,
    )
