"""Trying one point: the trials of all seeds, their rows, and the objectives that they give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from gseg.exactness import exact
from gseg.generators import cached_generator
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.jobs.score import ScoreJob
from gseg.pipeline.progress import Report
from gseg.pipeline.rows import Row
from gseg.pipeline.settings import Value
from gseg.pipeline.trial import Context, find_parts, run_trial
from gseg.search.definition import Search
from gseg.search.objectives import row_values, with_mark
from gseg.search.stability import agreement, common_pictures


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came out of a point.

    Attributes:
        rows: Result rows of all seeds.
        values: Objectives by name.
    """

    rows: list[Row]
    values: dict[str, float]


def evaluate(
    search: Search,
    parameters: Mapping[str, Value],
    setting: Context,
    backend: Backend,
    report: Report,
) -> Outcome:
    """Try a point; what is in the storage already is not made again.

    Args:
        search: The search that it belongs to.
        parameters: Values of the settings that vary.
        setting: Storage and benchmarks.
        backend: Who does the work.
        report: Hears how far it is; a `gseg.pipeline.progress.Watch` hears of the
            measurements of every network.

    Returns:
        Rows and objectives. Rows are marked if the search chooses by labels.
    """
    experiments = search.trials_of(parameters)
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
