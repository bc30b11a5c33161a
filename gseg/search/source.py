"""The points of a search one after the other, for whoever runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gseg.search.base import Base
from gseg.search.knobs import KNOBS, Value, effective, turned
from gseg.search.objectives import Objective
from gseg.search.records import Record
from gseg.search.space import Space
from gseg.search.suggest import RANDOM_FIRST, Sampler, draw_point, suggest

_RECIPE: Final = "search"


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What a search is.

    Attributes:
        space: Settings that vary.
        base: All other settings.
        objectives: What points are compared by; the first one decides where there is one.
        sampler: ``grid``, ``random``, or ``tpe``, Optuna's tree-structured Parzen estimator.
        points: Points of the space that shall be tried in all, those of earlier runs included;
            None for all of a grid.
        trial_seeds: Each point is tried with each of them.
        seed: Of the search.
        watched: Objective by which points are stopped early; empty for none.
        random_first: See `gseg.search.suggest.suggest`.
        recipe: Name that the rows bear.
    """

    space: Space
    base: Base
    objectives: tuple[Objective, ...]
    sampler: Sampler = "tpe"
    points: int | None = None
    trial_seeds: tuple[int, ...] = (0,)
    seed: int = 0
    watched: str = ""
    random_first: int = RANDOM_FIRST
    recipe: str = _RECIPE

    def __post_init__(self) -> None:
        if self.sampler == "grid":
            self.space.points()
        elif self.points is None:
            raise ValueError(f"A search by {self.sampler!r} needs a number of points, got none.")
        if self.points is not None and self.points < 1:
            raise ValueError(f"A search needs at least 1 point, got {self.points}.")

    @property
    def uses_labels(self) -> bool:
        """Whether labels decide."""
        return any(objective.uses_labels for objective in self.objectives)

    def base_of(self, parameters: Mapping[str, Value]) -> Base:
        """Give the settings of a point.

        Raises:
            ValueError: A value is out of range.
        """
        return turned(self.base, parameters)

    def names_of(self, parameters: Mapping[str, Value]) -> tuple[str, ...]:
        """Name the experiments of a point."""
        made = self.base_of(parameters).experiments(self.trial_seeds, self.recipe)
        return tuple(experiment.digest for experiment in made)

    def check(self) -> None:
        """Make sure that every value can be used, each with the first values of the others.

        Raises:
            ValueError: One cannot; the message says which.
        """
        first = {
            each.name: each.choices[0] if each.choices else each.limits[0]
            for each in self.space.parameters
        }
        for parameter in self.space.parameters:
            for value in parameter.choices or parameter.limits:
                try:
                    self.names_of({**first, parameter.name: value})
                except ValueError as error:
                    raise ValueError(f"{parameter.name}={value} cannot be: {error}") from error

    def sort_out(
        self, records: Sequence[Record], *, retry_failed: bool = False
    ) -> tuple[list[Record], list[Record]]:
        """Pick the earlier points that belong to this search, as points of its space.

        A point belongs to it if its settings within the space, with all others as they are now,
        mean the same experiments; where the space has become wider, it is a point of the wider
        one.

        Args:
            records: Of earlier runs.
            retry_failed: Whether points that failed by their own fault are tried again.

        Returns:
            Those that are known, and those that are to be tried again: whose objectives were not
            all measured, that were stopped early if that is no longer asked for, or that failed
            for what the machines did.
        """
        known: list[Record] = []
        again: list[Record] = []
        for record in records:
            inside = self._inside(record)
            if inside is None:
                continue
            done = {
                "complete": all(each.name in record.values for each in self.objectives),
                "pruned": bool(self.watched),
                "failed": record.own_fault and not retry_failed,
            }
            (known if done[record.state] else again).append(replace(record, parameters=inside))
        return known, again

    def _inside(self, record: Record) -> dict[str, Value] | None:
        """Give a record's place in the space; None if it has none."""
        try:
            base = self.base_of(record.parameters)
        except ValueError:
            return None
        values: dict[str, Value] = {}
        for parameter in self.space.parameters:
            knob = KNOBS[parameter.name]
            if not knob.applies(base):
                continue
            value = record.parameters.get(parameter.name, knob.read(base))
            if value is None or value not in parameter:
                return None
            values[parameter.name] = value
        return values if self.names_of(values) == record.experiments else None


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
        return self._start(
            Point(number=number, parameters=effective(self._search.base, parameters))
        )

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
