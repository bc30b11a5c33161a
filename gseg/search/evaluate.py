"""Trying one point: its trials, their rows, and the objectives that they give.

A point of a sweep is one trial of its list; a point of a search has one for each seed.

How far segmenters that differ by their seed alone agree is an objective without labels. Settings
that suit a generator lead to the same masks whatever the seed; where masks are noise, another seed
gives other noise. Plain agreement would reward trivial masks: "everything", "nothing" or a disc in
the centre of every picture are the same for every seed. So agreement is measured against what the
same masks would have by chance if each pixel's frequency of foreground, in the place where it is,
were all that they knew: Cohen's kappa with a chance of its own for each place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import ClassVar, Final

import torch
from torch import Tensor

from gseg.directions.codes import codes_and_labels
from gseg.exactness import exact
from gseg.generators.catalogue import cached_generator
from gseg.pipeline.direction_trial import AnyTrial
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.jobs.predict import load_predictor
from gseg.pipeline.progress import Report
from gseg.pipeline.rows import Row
from gseg.pipeline.trial import find_parts, run_trial
from gseg.randomness import derive_seed
from gseg.search.objectives import row_values, with_mark
from gseg.search.source import Point, Search

PICTURES: Final = 64
"""Pictures that segmenters are compared on."""
_LEAST: Final = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came out of a point.

    Attributes:
        rows: Result rows of all trials.
        values: Objectives by name; none in a sweep.
    """

    rows: list[Row]
    values: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepWork:
    """What the points of a sweep mean, in whichever process they are tried.

    Attributes:
        trials: The list: experiments, or trials that end with their direction.
    """

    trials: Sequence[AnyTrial]
    uses_labels: ClassVar[bool] = False

    def name_of(self, point: Point) -> str:
        """Name a point's file in the storage's folder ``progress``."""
        return self.trials[point.number].digest

    def trials_of(self, point: Point) -> Sequence[AnyTrial]:
        """Give the one trial of a point."""
        return (self.trials[point.number],)

    def evaluate(self, point: Point, setting: Context, backend: Backend, report: Report) -> Outcome:
        """Run the trial of a point; what is in the storage already is not made again."""
        siblings = [self.trials[number] for number in point.siblings]
        trial = self.trials[point.number]
        rows = run_trial(trial, setting, backend, report, siblings=siblings)
        return Outcome(rows=rows, values={})


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchWork:
    """What the points of a search mean, in whichever process they are tried."""

    search: Search

    @property
    def uses_labels(self) -> bool:
        """Whether labels decide what is tried next."""
        return self.search.uses_labels

    def name_of(self, point: Point) -> str:
        """Name a point's file in the storage's folder ``progress``."""
        return f"{self.search.recipe}-{point.number}"

    def trials_of(self, point: Point) -> Sequence[Experiment]:
        """Give a point's trials, one for each seed."""
        return self.search.trials_of(point.parameters)

    def evaluate(self, point: Point, setting: Context, backend: Backend, report: Report) -> Outcome:
        """Run a point's trials and measure its objectives; rows are marked if labels decide."""
        search, experiments = self.search, self.trials_of(point)
        rows_of_seeds = [run_trial(each, setting, backend, report) for each in experiments]
        values = row_values(rows_of_seeds, labels=search.uses_labels)
        if any(objective.of_row is None for objective in search.objectives):
            # With the trials' own backend: this process may have no GPU.
            measure = partial(_stability, experiments, setting, backend.device)
            values |= backend.call(measure)
        rows = [row for rows in rows_of_seeds for row in rows]
        # Whoever reads a row has to see that labels chose its settings.
        marked = [with_mark(row) for row in rows] if search.uses_labels else rows
        return Outcome(rows=marked, values=values)


Work = SweepWork | SearchWork


@exact()
@torch.no_grad()
def _stability(
    experiments: Sequence[Experiment], setting: Context, device: str
) -> Mapping[str, float]:
    """Measure how far the segmenters of several seeds agree on pictures that no sample has."""
    generator = cached_generator(experiments[0].generator, device)
    # The same pictures for all points, so that their agreement can be compared.
    seed = derive_seed(0, "stability", "latents")
    pictures = generator(*codes_and_labels(generator, seed, range(PICTURES))).clamp(-1, 1)
    masks = []
    for experiment in experiments:
        parts = find_parts(experiment, setting, device)
        assert parts is not None
        predictor = load_predictor([member.file for member in parts.members], device)
        masks.append(predictor.probability(pictures) > 0.5)
    return {"stability": agreement(torch.stack(masks))}


def agreement(masks: Tensor) -> float:
    """Measure how far masks of the same pictures agree, beyond chance.

    For two segmenters a and b, A is the share of pixels on which their masks agree, and A0 the
    share if b's masks were given to other pictures at random: the mean over places p of
    q_a(p) q_b(p) + (1 - q_a(p)) (1 - q_b(p)), where q(p) is the share of pictures in which p is
    foreground. The measure is (A - A0) / (1 - A0), the mean over all pairs of segmenters.

    Args:
        masks: (K, N, H, W) bool: of K >= 2 segmenters on N pictures.

    Returns:
        1 for the same masks everywhere, 0 for what chance gives and for masks that do not depend
        on the picture, negative for less than chance.

    Raises:
        ValueError: There are fewer than two segmenters, or no pictures.
    """
    if masks.ndim != 4 or len(masks) < 2 or masks.shape[1] < 1:
        raise ValueError(
            f"Agreement needs masks (K, N, H, W) of K >= 2 segmenters on N >= 1 pictures, got "
            f"{tuple(masks.shape)}."
        )
    pairs = [_kappa(first, second) for first, second in combinations(masks, 2)]
    return sum(pairs) / len(pairs)


def _kappa(first: Tensor, second: Tensor) -> float:
    # In double precision: shares of a million pixels differ in the seventh digit.
    observed = float((first == second).double().mean())
    q, r = first.double().mean(0), second.double().mean(0)
    chance = float((q * r + (1 - q) * (1 - r)).mean())
    # Masks that are everything or nothing leave nothing to chance, and know nothing.
    return (observed - chance) / (1 - chance) if 1 - chance > _LEAST else 0.0
