"""Trying one point: its trials, their rows, and the objectives that they give.

A point of a sweep is one trial of its list; a point of a search has one for each seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from gseg.directions.direction import Direction
from gseg.generators.catalogue import cached_generator
from gseg.pipeline.direction_trial import AnyTrial
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.jobs.predict import load_predictor
from gseg.pipeline.progress import Report
from gseg.pipeline.rows import Row
from gseg.pipeline.trial import find_parts, run_trial
from gseg.search.evidence import agreement, look
from gseg.search.objectives import row_values, with_mark
from gseg.search.source import Point, Search
from gseg.storage.store import bring_here


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
            measure = partial(_seen, experiments, setting, backend.device)
            values |= backend.call(measure)
        rows = [row for rows in rows_of_seeds for row in rows]
        # Whoever reads a row has to see that labels chose its settings.
        marked = [with_mark(row) for row in rows] if search.uses_labels else rows
        return Outcome(rows=marked, values=values)


Work = SweepWork | SearchWork


def _seen(experiments: Sequence[Experiment], setting: Context, device: str) -> Mapping[str, float]:
    """Measure what rows do not tell, on pictures that no sample has; see `gseg.search.evidence`."""
    generator = cached_generator(experiments[0].generator, device)
    looks, found = [], []
    for experiment in experiments:
        parts = find_parts(experiment, setting, device)
        assert parts is not None
        samples = parts.members[0].samples
        assert samples is not None
        assert samples.pairs.redraw is not None
        order = samples.pairs.redraw.orders[0]  # with the colour maps, if the masks need them
        looks.append(look(generator, Direction.load(bring_here(order.direction)), order.config))
        if len(experiments) > 1:  # one alone has nobody to agree with
            predictor = load_predictor([member.file for member in parts.members], device)
            found.append(predictor.probability(looks[-1].pictures) > 0.5)
    values = {"mask_ratio": sum(each.mask_ratio for each in looks) / len(looks)}
    if found:
        values["stability"] = agreement(torch.stack(found))
        values["mask_stability"] = agreement(torch.stack([each.masks for each in looks]))
    return values
