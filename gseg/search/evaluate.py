"""Trying one point: its trials, their rows, and the objectives that they give.

A sweep's point is one experiment of its list; a search's point has one for each seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch

from gseg.exactness import exact
from gseg.generators.catalogue import cached_generator
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.jobs.score import ScoreJob
from gseg.pipeline.progress import Report
from gseg.pipeline.rows import Row
from gseg.pipeline.trial import Context, find_parts, run_trial
from gseg.search.definition import Search
from gseg.search.objectives import row_values, with_mark
from gseg.search.source import Point
from gseg.search.stability import agreement, common_pictures


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came out of a point.

    Attributes:
        rows: Result rows of all trials.
        values: Objectives by name; none in a sweep.
    """

    rows: list[Row]
    values: dict[str, float]


class Work(Protocol):
    """What the points of a sweep or a search mean, in whichever process they are tried."""

    @property
    def uses_labels(self) -> bool:
        """Whether labels decide what is tried next."""
        ...

    def name_of(self, point: Point) -> str:
        """Name a point's file in the storage's folder ``progress``."""
        ...

    def trials_of(self, point: Point) -> Sequence[Experiment]:
        """Give a point's trials."""
        ...

    def evaluate(self, point: Point, setting: Context, backend: Backend, report: Report) -> Outcome:
        """Try a point; what is in the storage already is not made again."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepWork:
    """The points of a sweep.

    Attributes:
        experiments: The list.
    """

    experiments: Sequence[Experiment]
    uses_labels: ClassVar[bool] = False

    def name_of(self, point: Point) -> str:
        """Name a point; see `Work`."""
        return self.experiments[point.number].digest

    def trials_of(self, point: Point) -> Sequence[Experiment]:
        """Give the one trial of a point."""
        return (self.experiments[point.number],)

    def evaluate(self, point: Point, setting: Context, backend: Backend, report: Report) -> Outcome:
        """Run the trial of a point; see `Work`."""
        siblings = [self.experiments[number] for number in point.siblings]
        experiment = self.experiments[point.number]
        rows = run_trial(experiment, setting, backend, report, siblings=siblings)
        return Outcome(rows=rows, values={})


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchWork:
    """The points of a search.

    Attributes:
        search: The search.
    """

    search: Search

    @property
    def uses_labels(self) -> bool:
        """Whether labels decide."""
        return self.search.uses_labels

    def name_of(self, point: Point) -> str:
        """Name a point; see `Work`."""
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
            values["stability"] = float(
                backend.call(lambda: _stability(experiments, setting, backend.device))["stability"]
            )
        rows = [row for rows in rows_of_seeds for row in rows]
        marked = [with_mark(row) for row in rows] if search.uses_labels else rows
        return Outcome(rows=marked, values=values)


@exact()
def _stability(experiments: Sequence[Experiment], setting: Context, device: str) -> dict[str, Any]:
    generator = cached_generator(experiments[0].generator, device)
    pictures = common_pictures(generator)
    found = [_masks(each, setting, device, pictures) for each in experiments]
    return {"stability": agreement(torch.stack(found))}


def _masks(
    experiment: Experiment, setting: Context, device: str, pictures: torch.Tensor
) -> torch.Tensor:
    parts = find_parts(experiment, setting, device)
    assert parts is not None
    predict = ScoreJob(
        segmenters=tuple(member.file for member in parts.members),
        benchmark="",
        skip_bad=False,
        protocol=setting.eval_protocol,
        working_size=None,
        device=device,
    ).predictor()
    return predict(pictures) > 0.5
