"""The columns of a trial's rows, from its settings and its artifacts."""

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gseg.directions import ChoiceConfig, DirectionConfig
from gseg.features import features_name
from gseg.generators import GeneratorCard, list_generators, load_generator
from gseg.pipeline.experiment import Experiment, LabelledPairs, SelectionConfig
from gseg.pipeline.jobs.fit import SCENES_SIDE
from gseg.pipeline.stages.parts import Member
from gseg.samples import REASONS, LatentConfig, filter_preset_name
from gseg.scores.benchmarks import open_benchmark
from gseg.scores.intervals import INTERVALS
from gseg.scores.picture_sources import FolderPictures
from gseg.scores.protocol import SCORES
from gseg.storage.store import Artifact, versions


def identity_values(experiment: Experiment, device: str) -> dict[str, Any]:
    """Say which experiment a row is of, and with which versions it was made.

    Args:
        experiment: Settings of all stages.
        device: Kind of device of its stages.

    Returns:
        Columns of the rows.
    """
    values: dict[str, Any] = {
        "experiment": experiment.digest,
        "method": experiment.method,
        "recipe": experiment.recipe,
        "generator": experiment.generator,
        "supervision": "true masks" if experiment.method == "true_masks" else "none",
        **provenance(),
    }
    if experiment.method == "gan":
        values |= _generator_values(experiment)
    if experiment.labeller is not None:
        others = "" if values["supervision"] == "none" else f", {values['supervision']}"
        values["supervision"] = f"another model's masks{others}"
    training = experiment.training
    if training is not None:
        values |= {
            "data_size": experiment.data_size,
            "train_steps": training.steps,
            "train_learning_rate": training.learning_rate,
            "train_decay_at": training.decay_at,
            "train_batch": training.batch,
            "train_width": training.width,
            "train_preset": experiment.train_preset,
            "train_replicas": training.replicas,
            "train_seed": training.seed,
            "train_resolution": experiment.train_resolution
            or values.get("resolution", SCENES_SIDE),
            "device": device,
        }
    if experiment.labelled is not None:
        values |= _labelled_values(experiment.labelled, values["supervision"])
    return values


def _labelled_values(labelled: LabelledPairs, supervision: str) -> dict[str, Any]:
    """Columns about pictures with true masks that were trained on."""
    mixed = "true masks" if supervision in ("none", "true masks") else f"true masks, {supervision}"
    return {
        "supervision": mixed,
        "train_resolution": labelled.side,
        "labelled_set": open_benchmark(labelled.benchmark).name,
        "labelled_size": labelled.count,
        "labelled_weight": labelled.weight,
        "labelled_seed": labelled.seed,
    }


def _generator_values(experiment: Experiment) -> dict[str, Any]:
    search, samples = experiment.search, experiment.samples
    assert search is not None
    assert samples is not None
    card = find_card(experiment.generator)
    return {
        "family": card.family,
        "dataset": card.dataset,
        "resolution": card.resolution,
        "supervision": card.supervision,
        "published_fid": card.published_fid,
        "published_fid_protocol": card.fid_protocol or None,
        **_direction_identity(search),
        "epsilon_search": search.epsilon,
        "epsilon_sample": samples.epsilon,
        "mask_kind": experiment.mask_kind,
        "mask_rule": samples.mask_rule,
        "filters": filter_preset_name(samples.filters),
        **_latent_values(samples.latents),
        **_selection_values(experiment.selection, card.resolution),
        "labeller": experiment.labeller.name if experiment.labeller else None,
        "direction_seed": search.seed,
        "sample_seed": samples.seed,
    }


def _latent_values(latents: LatentConfig) -> dict[str, Any]:
    classes = ", ".join(str(label) for label in latents.classes)
    if latents.class_weights:
        pairs = zip(latents.classes, latents.class_weights, strict=True)
        classes = ", ".join(f"{label}: {weight:g}" for label, weight in pairs)
    return {
        "latent_source": latents.source,
        "alpha": latents.alpha if latents.source == "embeddings" else None,
        "truncation": latents.truncation,
        "classes": classes or None,
    }


def _selection_values(selection: SelectionConfig | None, side: int) -> dict[str, Any]:
    if selection is None:
        return {}
    pictures = FolderPictures(selection.folder, resolution=side)
    return {
        "selection": f"{pictures.name}, {features_name(selection.features)}",
        "selected_from": selection.candidates,
    }


def _direction_identity(search: DirectionConfig) -> dict[str, Any]:
    """Say how a direction was found: by which objective, or by which rule among what."""
    if isinstance(search, ChoiceConfig):
        return {"objective": search.rule, "candidate_directions": search.candidates.kind}
    return {
        "objective": search.objective,
        "contrast_weight": search.contrast_weight,
        "centre_prior": search.centre_prior,
    }


def direction_values(direction: Artifact) -> dict[str, Any]:
    """Columns about a direction."""
    facts = direction.facts
    return {
        "edge_loss": facts["losses"].get("lighter_edges"),
        "contrast_loss": facts["losses"].get("lighter_contrast"),
        "cosine": facts["cosine"],
        "two_affine_ratio": facts.get("two_affine_ratio"),
        "restoration_loss": facts.get("restoration_loss"),
        "operator_distance": facts.get("distance"),
        "direction_seconds": direction.seconds + facts.get("candidates_seconds", 0.0),
        "direction_reused": direction.reused,
    }


def member_values(members: Sequence[Member]) -> dict[str, Any]:
    """Sum up the networks of a trial: counts and seconds add, shares and scores are averaged."""
    if not members:
        return {}
    facts = [member.segmenter.facts for member in members]
    values: dict[str, Any] = {
        "validation_iou": _mean(fact["validation_iou"] for fact in facts),
        "validation_loss": _mean(fact["validation_loss"] for fact in facts),
        "foreground_share": _mean(fact["foreground_share"] for fact in facts),
        "peak_memory_mib": max(fact["peak_memory_mib"] for fact in facts),
        "training_seconds": sum(member.segmenter.seconds for member in members),
        "training_reused": all(member.segmenter.reused for member in members),
    }
    for name in {name for member in members for name in member.agreement}:
        values[name] = _mean(member.agreement.get(name) for member in members)
    sets = [member.samples for member in members if member.samples is not None]
    if sets:
        counts = [samples.counts for samples in sets]
        values |= {
            "candidates": sum(count["candidates"] for count in counts),
            "accepted": sum(count["accepted"] for count in counts),
            "samples_seconds": sum(samples.seconds for samples in sets),
            "samples_forwards": sum(samples.forwards for samples in sets),
            "samples_reused": all(samples.reused for samples in sets),
        }
        for reason in REASONS:
            values[f"rejected_{reason}"] = sum(count.get(reason, 0) for count in counts)
    return values


def _mean(values: Iterable[float | None]) -> float | None:
    """Average numbers; None if one of them was not measured."""
    numbers = list(values)
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if len(known) == len(numbers) else None


def score_values(means: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of scores from the means of one metric profile and their intervals."""
    limits = [f"{name}_{side}" for name in INTERVALS for side in ("low", "high")]
    names = (*SCORES, "mean_f_beta", *limits, "images", "degenerate_masks", "empty_masks")
    return {name: means[name] for name in names}


@cache
def find_card(name: str) -> GeneratorCard:
    """Look up a generator's card."""
    for card in list_generators():
        if card.name == name:
            return card
    return load_generator(name).card


@cache
def provenance() -> dict[str, Any]:
    """Name the versions and the commit that rows are made with."""
    found = versions()
    return {
        "gseg_version": found.get("gseg"),
        "python_version": found.get("python"),
        "torch_version": found.get("torch"),
        "ray_version": found.get("ray"),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Name the commit of the source tree; None for an installed package."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
