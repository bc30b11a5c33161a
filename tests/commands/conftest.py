"""Commands that try points, without Ray: the points are tried in the tests' own process."""

import contextlib

import pytest
import ray

from gseg.distributed.backend import RayBackend
from gseg.pipeline.progress import silent
from gseg.search.records import Record


@pytest.fixture
def apart(tmp_path, monkeypatch):
    """Work in an empty folder, and never start Ray."""

    def refuse(*_, **__):
        raise AssertionError("started Ray")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.chdir(tmp_path)


class PointsHere:
    """Tries points as `gseg.distributed.run.run_points` does.

    Attributes:
        tried: Numbers of those that were tried, in order.
        sizes: Data sizes of their first trials.
        seconds: What each run of a command had left.
        most: How many one run tries.
        failing: Numbers of points that fail, and why.
        evaluate: Tries one in another way.
    """

    def __init__(self):
        self.tried, self.sizes, self.seconds, self.failing = [], [], [], {}
        self.most, self.evaluate = None, None

    def __call__(self, work, source, setting, resources, *, listener, keep, large, **more):
        assert not large
        self.seconds.append(more.get("seconds"))
        tried = 0
        while (self.most is None or tried < self.most) and (point := source.next()) is not None:
            tried += 1
            listener.started(point)
            self.tried.append(point.number)
            self.sizes.append(getattr(work.trials_of(point)[0], "data_size", None))
            record, rows = self._try(work, point, setting, resources)
            source.finish(record)
            keep(record, rows)
            listener.ended(record, rows)

    def _try(self, work, point, setting, resources):
        common = {
            "number": point.number,
            "parameters": point.parameters,
            "experiments": tuple(each.digest for each in work.trials_of(point)),
            "labels_used": work.uses_labels,
        }
        if point.number in self.failing:
            reason = self.failing[point.number]
            return Record(**common, state="failed", reason=reason, own_fault=True), []
        evaluate = self.evaluate or type(work).evaluate
        outcome = evaluate(work, point, setting, RayBackend(resources), silent)
        return Record(**common, state="complete", values=outcome.values), outcome.rows


@pytest.fixture
def points_here(monkeypatch):
    """Have commands try points in this process."""
    here = PointsHere()
    monkeypatch.setattr("gseg.commands.points.run_points", here)
    monkeypatch.setattr("gseg.commands.points.trials_at_once", lambda *_, **__: 1)
    monkeypatch.setattr(
        "gseg.commands.points.ray_session", lambda *_, **__: contextlib.nullcontext()
    )
    return here
