"""The points of a sweep or a search one after the other, for whoever runs them."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gseg.pipeline.direction_trial import AnyTrial
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.settings import Value
from gseg.search.definition import Search
from gseg.search.records import Record


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A point to try: one experiment of a list, or the experiments of a search's settings.

    Attributes:
        number: Its number in the list or the search.
        parameters: Values of the settings that a search varies and that mean something.
        siblings: Numbers of the list's points whose samples are drawn along.
    """

    number: int
    parameters: Mapping[str, Value] = field(default_factory=dict)
    siblings: Sequence[int] = ()

    @property
    def label(self) -> str:
        """A short name for people."""
        shown = (
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.parameters.items()
        )
        return f"#{self.number} {' '.join(shown)}"


class ListedSource:
    """Gives the points of a list in its order, and hears what came out of them.

    Args:
        points: The list.
        at_once: Points that run at the same time.
    """

    def __init__(self, points: Iterable[Point], *, at_once: int = 1) -> None:
        self.at_once = at_once
        self._waiting = list(points)
        self._running: dict[int, Point] = {}

    @property
    def left(self) -> int:
        """Points that are still to come."""
        return len(self._waiting)

    @property
    def is_done(self) -> bool:
        """Whether no point is still to come or runs."""
        return not self.left and not self._running

    def next(self) -> Point | None:
        """Give the next point; None if it has to wait, or if there is none (`left` is 0 then)."""
        if not self.left or len(self._running) >= self.at_once:
            return None
        point = self._waiting.pop(0) if self._waiting else self._new_point()
        if point is not None:
            self._running[point.number] = point
        return point

    def _new_point(self) -> Point | None:
        """Give a point that is on no list; None for none."""
        return None

    def give_back(self, point: Point) -> None:
        """Take back a point that was not tried after all: it comes next."""
        del self._running[point.number]
        self._waiting.insert(0, point)

    def finish(self, record: Record) -> None:
        """Hear what came out of a point."""
        self._running.pop(record.number, None)


def listed(trials: Sequence[AnyTrial], *, at_once: int) -> ListedSource:
    """Give the source of a sweep: a point for each trial, with those that draw along."""
    groups = sharing_groups(trials, at_once)
    points = (Point(number=number, siblings=group) for number, group in enumerate(groups))
    return ListedSource(points, at_once=at_once)


def sharing_groups(trials: Sequence[AnyTrial], processes: int) -> list[tuple[int, ...]]:
    """Say for each trial which others' samples it draws along.

    Trials of one generator that draw the same candidates, whatever their λ, ε or mask kind, share
    the pictures G(z) when one of them draws for all (`gseg.pipeline.stages.samples`). That is work
    for one process: where there are more processes than such groups of trials, the groups are
    split, so that every process has one of its own.

    Args:
        trials: In the order in which they start.
        processes: Trials that run at the same time.

    Returns:
        For each trial the numbers of the others of its group.
    """
    same: dict[object, list[int]] = {}
    for number, trial in enumerate(trials):
        if isinstance(trial, Experiment) and trial.samples is not None:
            key = (trial.generator, trial.samples.candidates_key)
            same.setdefault(key, []).append(number)
    others: list[tuple[int, ...]] = [() for _ in trials]
    parts = max(1, math.ceil(processes / max(len(same), 1)))
    for numbers in same.values():
        for part in range(parts):  # those that start next to each other go to different parts
            group = numbers[part::parts]
            for number in group:
                others[number] = tuple(each for each in group if each != number)
    return others


class PointSource(ListedSource):
    """Gives the points of a search, and hears what came out of them.

    Points of earlier runs that are not finished come first. A new point n is suggested when all
    points but those that may run beside it are finished, so that it does not depend on which of
    these is faster.

    Args:
        search: The search.
        records: Points of earlier runs.
        at_once: Points that run at the same time.
        most: Points to give at most; None for no limit.
        retry_failed: Whether points that failed are tried again.
    """

    def __init__(
        self,
        search: Search,
        records: Sequence[Record],
        *,
        at_once: int = 1,
        most: int | None = None,
        retry_failed: bool = False,
    ) -> None:
        self._search = search
        self.known, again = search.sort_out(records, retry_failed=retry_failed)
        points = (Point(number=each.number, parameters=each.parameters) for each in again)
        super().__init__(points, at_once=at_once)
        self._finished = {record.number: record for record in self.known}
        self._names = {record.experiments for record in (*self.known, *again)}
        self._taken_numbers = {record.number for record in records}
        self._grid = search.space.points() if search.sampler == "grid" else []
        self.wanted = len(self._grid) if search.points is None else search.points
        left = max(0, self.wanted - len(self.known))
        self._left = left if most is None else min(left, most)
        self.is_exhausted = False

    @property
    def left(self) -> int:
        """Points that are still to come, if the space has as many."""
        return len(self._waiting) if self.is_exhausted else self._left

    @property
    def tried(self) -> list[Record]:
        """All points of the search that have been tried, in earlier runs or this one."""
        return [self._finished[number] for number in sorted(self._finished)]

    def next(self) -> Point | None:
        """Give the next point; see `ListedSource.next`."""
        point = super().next()
        if point is not None:
            self._left -= 1
        return point

    def _new_point(self) -> Point | None:
        number = next(each for each in itertools.count() if each not in self._taken_numbers)
        # The point waits for all that it may learn from, or another run would suggest another.
        if any(running <= number - self.at_once for running in self._running):
            return None
        parameters = self._parameters(number)
        if parameters is None:
            self.is_exhausted = True
            return None
        point = Point(number=number, parameters=self._search.meaningful(parameters))
        self._taken_numbers.add(number)
        self._names.add(self._search.names_of(point.parameters))
        return point

    def give_back(self, point: Point) -> None:
        """Take back a point; see `ListedSource.give_back`."""
        super().give_back(point)
        self._left += 1

    def finish(self, record: Record) -> None:
        """Hear what came out of a point."""
        super().finish(record)
        self._finished[record.number] = record

    def _is_taken(self, parameters: Mapping[str, Value]) -> bool:
        return self._search.names_of(parameters) in self._names

    def _parameters(self, number: int) -> Mapping[str, Value] | None:
        search = self._search
        if search.sampler == "grid":
            return next((point for point in self._grid if not self._is_taken(point)), None)
        if search.sampler == "tpe":
            # What runs beside it counts as unknown even if it is done: how fast it was is chance.
            last = number - self.at_once
            seen = [record for other, record in self._finished.items() if other <= last]
            suggested = search.suggest(seen, number)
            if not self._is_taken(suggested):
                return suggested
        # The estimator may repeat itself, mostly in small spaces: chance helps on.
        return search.draw_point(self._is_taken, number)
