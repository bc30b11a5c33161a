"""The points of a search one after the other, for whoever runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gseg.pipeline.settings import Value
from gseg.search.definition import Search
from gseg.search.records import Record
from gseg.search.suggest import draw_point, suggest


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A point to try.

    Attributes:
        number: Its number in the search.
        parameters: Values of the settings that vary and mean something.
    """

    number: int
    parameters: Mapping[str, Value]

    @property
    def label(self) -> str:
        """A short name for people."""
        shown = (
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self.parameters.items()
        )
        return f"#{self.number} {' '.join(shown)}"


class PointSource:
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
        self._search, self._at_once = search, at_once
        self.known, self._again = search.sort_out(records, retry_failed=retry_failed)
        self._finished = {record.number: record for record in self.known}
        self._names = {record.experiments for record in (*self.known, *self._again)}
        self._running: dict[int, Point] = {}
        self._taken_numbers = {record.number for record in records}
        self._grid = list(search.space.points()) if search.sampler == "grid" else []
        wanted = len(self._grid) if search.points is None else search.points
        self.wanted = wanted
        self._left = max(0, wanted - len(self.known))
        if most is not None:
            self._left = min(self._left, most)
        self.is_exhausted = False

    @property
    def left(self) -> int:
        """Points that are still to come, if the space has as many."""
        return 0 if self.is_exhausted else self._left

    @property
    def tried(self) -> list[Record]:
        """All points of the search that have been tried, in earlier runs or this one."""
        return [self._finished[number] for number in sorted(self._finished)]

    def next(self) -> Point | None:
        """Give the next point; None if it has to wait, or if there is none (`left` is 0 then)."""
        if not self.left or len(self._running) >= self._at_once:
            return None
        if self._again:
            record = self._again.pop(0)
            return self._start(Point(number=record.number, parameters=record.parameters))
        number = self._next_number()
        if any(running <= number - self._at_once for running in self._running):
            return None
        parameters = self._parameters(number)
        if parameters is None:
            self.is_exhausted = True
            return None
        return self._start(Point(number=number, parameters=self._search.meaningful(parameters)))

    def _start(self, point: Point) -> Point:
        self._left -= 1
        self._taken_numbers.add(point.number)
        self._running[point.number] = point
        self._names.add(self._search.names_of(point.parameters))
        return point

    def finish(self, record: Record) -> None:
        """Hear what came out of a point."""
        self._running.pop(record.number, None)
        self._finished[record.number] = record

    def _next_number(self) -> int:
        number = 0
        while number in self._taken_numbers:
            number += 1
        return number

    def _is_taken(self, parameters: Mapping[str, Value]) -> bool:
        return self._search.names_of(parameters) in self._names

    def _parameters(self, number: int) -> Mapping[str, Value] | None:
        search = self._search
        if search.sampler == "grid":
            return next((point for point in self._grid if not self._is_taken(point)), None)
        if search.sampler == "tpe":
            last = number - self._at_once
            seen = [record for other, record in self._finished.items() if other <= last]
            suggested = suggest(
                search.space,
                search.objectives,
                seen,
                number,
                seed=search.seed,
                watched=search.watched,
                random_first=search.random_first,
            )
            if not self._is_taken(suggested):
                return suggested
        return draw_point(search.space, self._is_taken, number, seed=search.seed)
