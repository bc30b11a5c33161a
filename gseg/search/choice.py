"""Choosing among finished trials without labels.

What learns best is not what segments best: masks that are everything, or the same disc in each
picture, and those of a generator that makes four pictures are the easiest to learn. Such trials are
refused, with the reason. Of the others it is `agreed_iou` that decides: how well held-out generated
pairs are learnt, times how far a trial's segmenter agrees with those of the nearer half of the
others on pictures that all of them see. Faults of different trials are different ones; what they
agree on is the object.
How well this and other criteria choose is measured in ``docs/searches.md``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from gseg.directions.direction import Direction
from gseg.images import from_uint8
from gseg.pipeline.finished import Trace, find_trace
from gseg.pipeline.jobs.draw import sampled_generator
from gseg.pipeline.jobs.predict import load_predictor
from gseg.samples.config import PLAUSIBLE_SHARES
from gseg.scores.batches import resize_probability
from gseg.scores.picture_sources import FolderPictures
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.search.evidence import Look, look, pairwise_agreement, repetition
from gseg.search.objectives import CHOICE, OBJECTIVES, find_criterion
from gseg.storage.store import bring_here

PICTURES_SEEN: Final = 256
"""Pictures on which segmenters are compared, at most."""

# Beyond what any trial of a working method had, and short of the traps; see docs/searches.md.
_MOST_REPETITION: Final = 0.8
_LEAST_VARIATION: Final = 0.2
_MOST_MASK_RATIO: Final = 0.95


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrialEvidence:
    """What is known of a finished trial; nothing of it comes from a true mask.

    Attributes:
        name: By which the trial is known, such as its row's experiment.
        values: Its objectives by name, those that were measured.
        masks: (N, H, W) bool, its segmenter's on pictures that all trials see.
        segmenters: Files of its network; several of an ensemble.
        repetition: Of its generator, see `gseg.search.evidence.repetition`.
        refusal: Why it cannot be chosen, whatever its masks; empty for no such reason.
    """

    name: str
    values: Mapping[str, float]
    masks: Tensor
    segmenters: tuple[Path, ...] = ()
    repetition: float = 0.0
    refusal: str = ""

    @property
    def variation(self) -> float:
        """How much of the masks' variance is between pictures, not between places: 0 to 1."""
        places = self.masks.double().mean(0)
        share = float(places.mean())
        whole = share * (1 - share)
        return float((places * (1 - places)).mean()) / whole if whole > 0 else 0.0

    @property
    def objection(self) -> str:
        """Why it is refused, in words; empty if it is not."""
        low, high = PLAUSIBLE_SHARES
        share, ratio = float(self.masks.double().mean()), self.values.get("mask_ratio", 0.0)
        if self.refusal:
            return self.refusal
        if not low <= share <= high:
            return f"its masks are {share:.0%} foreground, expected {low:.0%} to {high:.0%}"
        if self.variation < _LEAST_VARIATION:
            return "its masks are nearly the same whatever the picture"
        if self.repetition > _MOST_REPETITION:
            return "its generator makes the same few pictures again and again"
        if ratio > _MOST_MASK_RATIO:
            return "its shift does the same inside its masks as outside"
        return ""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RankedTrial:
    """A trial among others.

    Attributes:
        evidence: What is known of it.
        value: Of the criterion; NaN where it was refused.
        objection: Why it was refused; empty if it was not.
    """

    evidence: TrialEvidence
    value: float
    objection: str = ""


def rank_trials(trials: Sequence[TrialEvidence], criterion: str = CHOICE) -> list[RankedTrial]:
    """Put trials in order, the chosen one first, those that are refused last.

    Args:
        trials: With masks of the same pictures.
        criterion: Name of one of `gseg.search.objectives.CRITERIA`.

    Returns:
        The first is not refused.

    Raises:
        ValueError: There is no such criterion, it was not measured for a trial, or all trials are
            refused; the message has the reasons.
    """
    objective = find_criterion(criterion)
    objections = [each.objection for each in trials]
    if all(objections):
        reasons = "; ".join(dict.fromkeys(objections)) or "there are none"
        raise ValueError(
            f"None of {len(trials)} trials can be chosen: {reasons}. Try other generators, another "
            "epsilon, or another kind of masks."
        )
    fit = [each for each, why in zip(trials, objections, strict=True) if not why]
    told = [replace(each, values={**each.values, **more}) for each, more in _compared(fit)]
    lacking = [each.name for each in told if objective.name not in each.values]
    if lacking:
        raise ValueError(
            f"{objective.name} was not measured for {lacking[0]} and {len(lacking) - 1} others: "
            "their segmenters had no held-out samples, or their rows are of an older version. "
            "Choose by another --criterion, or run these trials again."
        )
    sign = 1 if objective.goal == "min" else -1
    ranked = [RankedTrial(evidence=each, value=each.values[objective.name]) for each in told]
    refused = [
        RankedTrial(evidence=each, value=math.nan, objection=why)
        for each, why in zip(trials, objections, strict=True)
        if why
    ]
    # By name where values are equal: the order does not depend on that of the trials.
    return [
        *sorted(ranked, key=lambda each: (sign * each.value, each.evidence.name)),
        *sorted(refused, key=lambda each: each.evidence.name),
    ]


def _compared(
    trials: Sequence[TrialEvidence],
) -> list[tuple[TrialEvidence, dict[str, float]]]:
    """Measure what only all trials together give: how far each agrees with the others.

    Those that count are the nearer half of them: poor trials, which agree with nobody, decide
    nothing then, and what lies between right and wrong ones does not win.
    """
    nearer = math.ceil((len(trials) - 1) / 2)
    agree = pairwise_agreement([each.masks for each in trials]).fill_diagonal_(-math.inf)
    found = []
    for each, row in zip(trials, agree, strict=True):
        # A trial alone has nobody to disagree with.
        values = {"consensus": float(row.topk(nearer).values.mean()) if nearer else 1.0}
        iou = each.values.get("held_out_iou")
        if iou is not None:
            values["agreed_iou"] = iou * values["consensus"]
        found.append((each, values))
    return found


def finished_trials(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep of result rows one for each trial that generated samples taught, alone.

    Others have no masks to be judged by, or were taught by true ones.

    Raises:
        ValueError: There are none.
    """
    # Whatever they were scored on: of a trial's rows, settings and held-out scores are the same.
    order = {name: place for place, name in enumerate(DEFAULT_PROFILES)}
    first = rows.sort_values("metric_profile", key=lambda column: column.map(order), kind="stable")
    first = first.drop_duplicates("experiment")
    taught = first["supervision"].str.contains("true masks", regex=False, na=False)
    found = first[(first["method"] == "gan") & ~taught]
    if found.empty:
        raise ValueError(
            "There is no trial to choose from: rows of method 'gan' are needed, whose segmenters "
            "were trained on generated masks alone."
        )
    return found.sort_index()


def choose_trials(
    rows: pd.DataFrame,
    storage: Path,
    criterion: str = CHOICE,
    *,
    pictures: Path | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> pd.DataFrame:
    """Choose among the trials of a sweep or search without labels.

    Args:
        rows: As `gseg.results` reads them.
        storage: That of the sweep.
        criterion: See `rank_trials`.
        pictures: See `gather_evidence`, also for the rest.
        device: Where to compute.
        progress: Called with the trials looked at and their number.

    Returns:
        One row for each trial, the chosen one first, those that are refused last: its row, and
        columns ``value`` of the criterion, ``objection`` (why it was refused, empty if it was not),
        ``segmenters`` (files) and ``choice_...`` for each criterion that was measured.

    Raises:
        ValueError: See `finished_trials`, `gather_evidence` and `rank_trials`.
    """
    find_criterion(criterion)  # before any work
    trials = finished_trials(rows)
    evidence = gather_evidence(trials, storage, pictures=pictures, device=device, progress=progress)
    ranked = rank_trials(evidence, criterion)
    told = pd.DataFrame(
        [
            {
                "experiment": each.evidence.name,
                "value": each.value,
                "objection": each.objection,
                "segmenters": list(map(str, each.evidence.segmenters)),
                **{f"choice_{name}": value for name, value in each.evidence.values.items()},
            }
            for each in ranked
        ]
    )
    # A left join keeps the order of the ranking.
    return told.merge(trials, on="experiment", how="left", validate="one_to_one")


def gather_evidence(
    rows: pd.DataFrame,
    storage: Path,
    *,
    pictures: Path | None = None,
    device: str = "cpu",
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> list[TrialEvidence]:
    """Look at finished trials, in the order of their rows.

    Args:
        rows: One for each trial, see `finished_trials`.
        storage: That of their sweep.
        pictures: Folder of pictures without masks on which segmenters are compared, best such as
            they shall segment; None for generated ones, equally many of each generator.
        device: Where to compute.
        progress: Called with the trials looked at and their number.

    Raises:
        ValueError: The storage has not got them, or the folder no pictures.
    """
    traces = [find_trace(row, storage) for _, row in rows.iterrows()]
    there = [trace for trace in traces if trace is not None]
    if not there:
        raise ValueError(
            f"{storage} holds none of these {len(rows)} trials: name the storage of their sweep "
            "(--storage DIR)."
        )
    looks = _looks(there, device, progress)
    side = min(each.pictures.shape[-1] for each in looks.values())
    shown = _folder_pictures(pictures, side) if pictures else _mixed(there, looks, side)
    found = []
    for (_, row), trace in zip(rows.iterrows(), traces, strict=True):
        values = {
            name: float(value)
            for name, value in _of_row(row).items()
            if value is not None and not pd.isna(value)
        }
        if trace is None:
            nothing = torch.zeros(len(shown), side, side, dtype=torch.bool)
            evidence = TrialEvidence(
                name=row["experiment"],
                values=values,
                masks=nothing,
                refusal="the storage does not hold it",
            )
        else:
            seen = looks[trace.samples]
            evidence = TrialEvidence(
                name=row["experiment"],
                values={**values, "mask_ratio": seen.mask_ratio},
                masks=_predicted(trace, shown, device),
                segmenters=trace.segmenters,
                repetition=repetition(seen.pictures),
            )
        found.append(evidence)
    return found


def _looks(
    traces: Sequence[Trace], device: str, progress: Callable[[int, int], object]
) -> dict[Path, Look]:
    """Look at the samples of each trial; those of several sizes are one set."""
    looks: dict[Path, Look] = {}
    for done, trace in enumerate(traces, start=1):
        origin = trace.origin
        if trace.samples not in looks:
            generator = sampled_generator(origin.generator, device, origin.config.latents)
            direction = Direction.load(bring_here(origin.direction))
            looks[trace.samples] = look(generator, direction, origin.config)
        progress(done, len(traces))
    return looks


def _mixed(traces: Sequence[Trace], looks: Mapping[Path, Look], side: int) -> Tensor:
    """Take equally many pictures of each generator."""
    of = {trace.origin.generator: looks[trace.samples].pictures for trace in traces}
    each = math.ceil(PICTURES_SEEN / len(of))
    return torch.cat([_at_side(pictures[:each].cpu(), side) for pictures in of.values()])


def _folder_pictures(folder: Path, side: int) -> Tensor:
    """Read pictures of a folder, evenly over their names, as their middle squares."""
    there = FolderPictures(folder, resolution=side)
    count = min(PICTURES_SEEN, len(there))
    rows = [place * len(there) // count for place in range(count)]
    return from_uint8(torch.stack([there.read(row) for row in rows]))


def _at_side(pictures: Tensor, side: int) -> Tensor:
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)


@torch.inference_mode()
def _predicted(trace: Trace, pictures: Tensor, device: str) -> Tensor:
    """Segment pictures at the side that the segmenter was trained on; masks (N, H, W) bool."""
    predictor = load_predictor(trace.segmenters, device)
    found = predictor.probability(_at_side(pictures, trace.working_size or pictures.shape[-1]))
    return resize_probability(found, pictures[:, 0]) > 0.5


def _of_row(row: "pd.Series[Any]") -> dict[str, float | None]:
    """Read the objectives that a row tells."""
    known = {str(name): None if pd.isna(value) else value for name, value in row.items()}
    return {
        name: each.of_row(known)
        for name, each in OBJECTIVES.items()
        if each.of_row is not None and not each.uses_labels
    }
