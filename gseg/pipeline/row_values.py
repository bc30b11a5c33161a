"""The columns of a trial's rows, from its settings and its artifacts."""

import itertools
import math
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from gseg.directions.direction import Direction
from gseg.features.named import features_name
from gseg.generators.catalogue import find_card
from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.jobs.train import SCENES_SIDE
from gseg.pipeline.settings import columns, setting_values
from gseg.pipeline.stages.samples import SampledSet
from gseg.pipeline.stages.segmenter import FILE
from gseg.samples.config import REASONS
from gseg.samples.sets import sum_counts
from gseg.scores.benchmarks import Benchmark, open_benchmark
from gseg.scores.picture_sources import FolderPictures
from gseg.scores.specs import SCORES
from gseg.storage.store import Artifact, versions


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One trained network of a trial.

    Attributes:
        segmenter: Its artifact.
        samples: What it was trained on; None for true masks.
        agreement: How far a labeller's masks agree with the samples' own; empty without one.
        threshold: What was chosen for its masks; empty where nothing was.
    """

    segmenter: Artifact
    samples: SampledSet | None = None
    agreement: Mapping[str, float | None] = field(default_factory=dict)
    threshold: str = ""

    @property
    def file(self) -> Path:
        """The segmenter's file."""
        return self.segmenter.folder / FILE


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialParts:
    """What a trial leaves in the storage.

    Attributes:
        direction: Its direction; None for methods without a generator.
        members: Its networks; none for baselines.
    """

    direction: Artifact | None
    members: tuple[Member, ...]


def identity_values(experiment: Experiment, device: str) -> dict[str, Any]:
    """Say which experiment a row is of, on which kind of device and with which versions."""
    values: dict[str, Any] = {
        "experiment": experiment.digest,
        **setting_values(experiment),
        "supervision": "true masks" if experiment.method == "true_masks" else "none",
        **provenance(),
    }
    # Baselines and true masks have no generator: its columns stay empty.
    if experiment.method == "gan":
        card = find_card(experiment.generator)
        named = ("family", "dataset", "resolution", "supervision", "published_fid")
        values |= {name: getattr(card, name) for name in named}
        values["published_fid_protocol"] = card.fid_protocol or None
    if experiment.training is not None:
        # The setting is None for the generator's own side; rows tell the side itself.
        values |= {"train_resolution": trained_side(experiment), "device": device}
    if experiment.selection is not None:
        # By content, as another folder of this name may hold other pictures.
        pictures = _selected_by(experiment)
        features = features_name(experiment.selection.features)
        values["selection"] = f"{pictures.name}, {features}"
    if experiment.labeller is not None:
        values["supervision"] = _joined("another model's masks", values["supervision"])
    if experiment.labelled is not None:
        values |= {
            "supervision": _joined("true masks", values["supervision"]),
            "labelled_set": _labelled_set(experiment.labelled.benchmark),
        }
    return values


def _selected_by(experiment: Experiment) -> FolderPictures:
    assert experiment.selection is not None
    side = find_card(experiment.generator).resolution
    return FolderPictures(experiment.selection.folder, resolution=side)


def selection_values(
    experiment: Experiment, told: Mapping[str, Any], benchmark: Benchmark
) -> dict[str, Any]:
    """Say of a selection if its pictures are scored on, which is fair, as no masks are looked at.

    Args:
        experiment: The trial.
        told: Columns that are known, the selection's among them.
        benchmark: What it is scored on.

    Returns:
        The column, if that is so.
    """
    if experiment.selection is None:
        return {}
    known, total = _selected_by(experiment).contents, len(benchmark)
    both = sum(benchmark.content(index) in known for index in range(total))
    return {"selection": f"{told['selection']}, {both} of them scored on"} if both else {}


def _labelled_set(spec: str) -> str:
    opened = open_benchmark(spec)
    # By content, as another folder of this name may hold other pictures.
    return f"{opened.name} [{opened.digest[:8]}]" if opened.from_files else opened.name


def trained_side(experiment: Experiment) -> int | None:
    """Side in pixels of the pictures that networks are trained on; None without a training."""
    if experiment.training is None:
        return None
    if experiment.labelled is not None:
        return experiment.labelled.side
    side = find_card(experiment.generator).resolution if experiment.generator else SCENES_SIDE
    return experiment.train_resolution or side


def _joined(supervision: str, others: str) -> str:
    """Put one kind of supervision before what there is already."""
    return supervision if others in ("none", supervision) else f"{supervision}, {others}"


def direction_values(direction: Artifact) -> dict[str, Any]:
    """Columns about a direction."""
    facts = direction.facts
    return {
        # A chosen direction has no losses, an optimised one of an older version no maps.
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
    trained = [member.segmenter for member in members]
    facts = [{**each.segmenter.facts, **each.agreement} for each in members]
    averaged = ("validation_iou", "validation_loss", "foreground_share", *members[0].agreement)
    values: dict[str, Any] = {name: _mean([fact[name] for fact in facts]) for name in averaged}
    values |= {
        "chosen_threshold": ", ".join(dict.fromkeys(each.threshold for each in members)) or None,
        # Networks are trained one after the other: their peaks do not add.
        "peak_memory_mib": max(fact["peak_memory_mib"] for fact in facts),
        "training_seconds": sum(each.seconds for each in trained),
        "training_reused": all(each.reused for each in trained),
    }
    # Networks that are trained on true masks have no samples.
    sets = [member.samples for member in members if member.samples is not None]
    if sets:
        counts = sum_counts([samples.counts for samples in sets])
        values |= {
            "candidates": counts["candidates"],
            "accepted": counts["accepted"],
            "samples_seconds": _known(sum(samples.seconds for samples in sets)),
            "samples_forwards": _known(sum(samples.forwards for samples in sets)),
            "samples_reused": all(samples.reused for samples in sets),
            **{f"rejected_{reason}": counts.get(reason, 0) for reason in REASONS},
        }
    return values


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number


def _mean(numbers: Sequence[float | None]) -> float | None:
    """Average numbers; None if one of them was not measured."""
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if len(known) == len(numbers) else None


def score_values(means: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of scores from the means of one metric profile and their intervals."""
    limits = [f"{name}_{side}" for name in SCORES for side in ("low", "high")]
    names = (*SCORES, "mean_f_beta", *limits, "images", "degenerate_masks", "empty_masks")
    return {name: means[name] for name in names}


# A process of Git's for each row would cost more than the row.
@cache
def provenance() -> dict[str, Any]:
    """Name the versions and the commit that rows are made with."""
    found, commit = versions(), None
    here = str(Path(__file__).parent)
    command = ["git", "-C", here, "rev-parse", "--short=12", "HEAD"]
    with suppress(OSError, subprocess.SubprocessError):  # an installed package has none
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        commit = done.stdout.strip() or None
    names = ("gseg", "python", "torch", "ray")
    return {**{f"{name}_version": found.get(name) for name in names}, "commit": commit}


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A finished search.

    Attributes:
        trial: What was asked for.
        artifact: The direction's folder and facts.
    """

    trial: DirectionTrial
    artifact: Artifact

    def row(self, device: str) -> dict[str, Any]:
        """Give the columns that identify generator and search, ``cosine`` (v_l · v_d), losses.

        Also how well two affine maps explain the direction, seconds, versions and commit; the
        device is the kind that searched.
        """
        return self.identity(device) | direction_values(self.artifact)

    def identity(self, device: str) -> dict[str, Any]:
        """Give the columns that identify generator and search."""
        trial, card = self.trial, find_card(self.trial.generator)
        told = {
            name: each.value(trial) for name, each in columns().items() if each.stands_in(trial)
        }
        named = ("family", "dataset", "resolution", "latent_dim")
        return {
            "experiment": trial.digest,
            **told,
            **{name: getattr(card, name) for name in named},
            "device": device,
            **provenance(),
        }


def direction_rows(found: Iterable[Found], device: str) -> pd.DataFrame:
    """Make one row for each direction; see `Found.row`."""
    return pd.DataFrame([each.row(device) for each in found])


def pair_rows(found: Sequence[Found], device: str) -> pd.DataFrame:
    """Make one row for each pair of directions that differ in nothing but their seed.

    Args:
        found: Finished searches.
        device: Kind of device that searched.

    Returns:
        The identifying columns, ``seed_a`` and ``seed_b``, and the cosines between the two
        ``lighter`` and the two ``darker`` vectors.
    """
    rows = []
    for one, other in itertools.combinations(found, 2):
        first, second = (
            replace(each.trial, search=each.trial.search.with_seed(0)) for each in (one, other)
        )
        if first != second:
            continue  # they differ in more than their seed
        a, b = (Direction.load(each.artifact.folder) for each in (one, other))
        identity = one.identity(device)
        del identity["experiment"], identity["direction_seed"]
        seeds = {"seed_a": one.trial.search.seed, "seed_b": other.trial.search.seed}
        cosines = {"lighter": float(a.lighter @ b.lighter), "darker": float(a.darker @ b.darker)}
        rows.append({**identity, **seeds, **cosines})
    return pd.DataFrame(rows)
