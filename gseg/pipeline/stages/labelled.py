"""Labelled pictures among what a segmenter is trained on (Melas-Kyriazi et al. 2022, B.4)."""

from dataclasses import replace

from gseg.pipeline.experiment import LabelledPairs
from gseg.pipeline.jobs.fit import Material, Pairs
from gseg.scores.benchmarks import open_benchmark


def with_labelled(material: Material, labelled: LabelledPairs | None) -> Material:
    """Add labelled pictures to generated pairs.

    Args:
        material: Of one kind.
        labelled: What to add, and its share; None to add nothing.

    Returns:
        Both together; held out are generated pairs as before, so that no choice needs labels.

    Raises:
        ValueError: The set has fewer pictures.
    """
    if labelled is None:
        return material
    share = labelled.weight
    return replace(
        material,
        training=(*material.training, _pairs(labelled)),
        weights=() if share is None else (1 - share, share),
        parents=(*material.parents, _name(labelled)),
    )


def labelled_alone(labelled: LabelledPairs, validation_size: int) -> Material:
    """Take labelled pictures to train on, and others of the same set to measure with.

    Args:
        labelled: What to train on.
        validation_size: Others to hold out.

    Returns:
        Labelled pairs only.

    Raises:
        ValueError: The set has fewer pictures.
    """
    held_out = replace(_pairs(labelled), first=labelled.count, count=validation_size)
    return Material(
        training=(_pairs(labelled),),
        validation=held_out if validation_size else None,
        parents=(_name(labelled),),
    )


def _pairs(labelled: LabelledPairs) -> Pairs:
    return Pairs(
        count=labelled.count,
        benchmark=labelled.benchmark,
        side=labelled.side,
        seed=labelled.seed,
    )


def _name(labelled: LabelledPairs) -> str:
    identity = open_benchmark(labelled.benchmark).identity
    return f"{identity} side={labelled.side} seed={labelled.seed}"
