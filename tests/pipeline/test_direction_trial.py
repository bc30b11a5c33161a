"""Trials that end with a direction run as others do, and have a row of their own."""

import json

from gseg.directions.config import SearchConfig
from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.experiment import Context
from gseg.pipeline.failures import forget_failure, known_failure, note_failure
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.progress import silent
from gseg.pipeline.row_values import Found, direction_rows
from gseg.pipeline.trial import find_parts, find_rows
from gseg.search.evaluate import SweepWork
from gseg.search.source import listed

TRIALS = [
    DirectionTrial(
        generator="analytic.ellipses32", search=SearchConfig(steps=2, batch=4, seed=seed)
    )
    for seed in (0, 1)
]


def test_a_list_of_them_is_a_sweep(tmp_path):
    setting, work = Context(storage=tmp_path), SweepWork(trials=TRIALS)
    source = listed(TRIALS, at_once=2)
    while (point := source.next()) is not None:
        assert find_rows(TRIALS[point.number], setting, "cpu") is None
        (row,) = work.evaluate(point, setting, LocalBackend(), silent).rows
        assert json.loads(json.dumps(row))["direction_seed"] == point.number
    found = []
    for trial in TRIALS:
        parts = find_parts(trial, setting, "cpu")
        assert parts is not None
        assert parts.direction is not None
        found.append(Found(trial=trial, artifact=parts.direction))
    table = direction_rows(found, "cpu").to_dict("records")
    assert [find_rows(trial, setting, "cpu")[0]["cosine"] for trial in TRIALS] == [
        row["cosine"] for row in table
    ]


def test_why_one_failed_is_kept(tmp_path):
    setting, trial = Context(storage=tmp_path), TRIALS[0]
    note_failure(trial, setting, ValueError("no"))
    assert known_failure(trial, setting).reason == "no"
    forget_failure(trial, setting)
    assert known_failure(trial, setting) is None


def test_names_for_people():
    assert TRIALS[1].label == "analytic.ellipses32-5-1-1"
    assert TRIALS[1].told == "analytic.ellipses32 λ=5 ε=1 seed=1"
