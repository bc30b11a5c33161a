"""What a person sees while points are tried, and what is kept of each as soon as it has ended."""

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from gseg.distributed.point_actor import point_file
from gseg.distributed.search import PointListener
from gseg.distributed.view import TrialsView, Watched
from gseg.pipeline.rows import Row, merge_rows
from gseg.search.definition import Search
from gseg.search.records import Record, keep_records
from gseg.search.source import Point


class PointView:
    """Follows points on the console, in the order in which they start."""

    def __init__(
        self, console: Console, total: int, search: Search, storage: Path, plain: bool
    ) -> None:
        self._points: list[Point] = []
        self._places: dict[int, int] = {}
        self._objectives = search.objectives

        def describe(place: int) -> Watched:
            point = self._points[place]
            return Watched(point.label, point_file(storage, point.number, search))

        self.view = TrialsView(console, total, describe, plain=plain)

    def started(self, point: Point) -> None:
        """Note a point's start."""
        if point.number not in self._places:
            self._places[point.number] = len(self._points)
            self._points.append(point)
        self.view.start(self._places[point.number])

    def ended(self, record: Record) -> None:
        """Note what came out of a point."""
        values: Mapping[str, float] = record.values
        text = ", ".join(
            f"{each.name} {values[each.name]:.4f}"
            for each in self._objectives
            if each.name in values
        )
        if record.state != "complete":
            text = f"{record.state}: {record.reason}"
        self.view.end(self._places[record.number], text, failed=record.state == "failed")

    def retried(self, point: Point, attempt: int, reason: str) -> None:
        """Note that a point is started again."""
        place = self._places[point.number]
        self.view.say(place, f"attempt {attempt} failed, tried again: {reason}")


class Keeper(PointListener):
    """Writes every point and its rows as soon as it has ended, and tells the view."""

    def __init__(self, results: Path, trials: Path) -> None:
        self._results, self._trials = results, trials
        self.view: PointView | None = None
        self.ended_numbers: set[int] = set()

    def started(self, point: Point) -> None:
        """Tell the view."""
        if self.view is not None:
            self.view.started(point)

    def ended(self, record: Record, rows: list[Row]) -> None:
        """Write what came out, and tell the view."""
        if rows:
            merge_rows(self._results, rows)
        keep_records(self._trials, [record])
        self.ended_numbers.add(record.number)
        if self.view is not None:
            self.view.ended(record)

    def retried(self, point: Point, attempt: int, reason: str) -> None:
        """Tell the view."""
        if self.view is not None:
            self.view.retried(point, attempt, reason)
