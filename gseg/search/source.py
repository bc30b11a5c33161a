"""What a search is, and the points of a sweep or a search one after the other.

Point n of a search follows from the seed, n, and the results of earlier points alone. A search that
is killed and started again goes on with the points that it would have tried anyway.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from gseg.pipeline.direction_trial import AnyTrial
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.settings import Value
from gseg.randomness import derive_seed
from gseg.recipes.grids import Grid
from gseg.recipes.trials import point_trials
from gseg.search.objectives import Objective
from gseg.search.records import Record
from gseg.search.space import Parameter, Space, searched_axes

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Sampler = Literal["grid", "random", "tpe"]
RANDOM_FIRST: Final = 10
"""Optuna's default."""
# Points drawn at random to find one that has not been tried yet.
_TRIES: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """What a search is.

    Attributes:
        space: Settings that vary.
        grid: All other settings.
        fixed: Values of axes that stay the same and are none of the grid's, such as the generator
            and the data size.
        objectives: What points are compared by; the first one decides where there is one.
        sampler: ``grid``, ``random``, or ``tpe``, Optuna's tree-structured Parzen estimator.
        points: Points of the space that shall be tried in all, those of earlier runs included;
            None for all of a grid.
        trial_seeds: Each point is tried with each of them.
        seed: Of the search.
        watched: Objective by which points are stopped early; empty for none.
        random_first: Points known before which `suggest` draws at random.
        recipe: Name that the rows bear.
    """

    space: Space
    grid: Grid
    fixed: Mapping[str, Value]
    objectives: tuple[Objective, ...]
    sampler: Sampler = "tpe"
    points: int | None = None
    trial_seeds: tuple[int, ...] = (0,)
    seed: int = 0
    watched: str = ""
    random_first: int = RANDOM_FIRST
    recipe: str = "search"

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

    def trials_of(self, parameters: Mapping[str, Value]) -> list[Experiment]:
        """Make the trials of a point, one for each seed.

        Raises:
            ValueError: A value is out of range.
        """
        values = {**self.fixed, **parameters}
        return point_trials(self.grid, values, self.trial_seeds, self.recipe)

    def names_of(self, parameters: Mapping[str, Value]) -> tuple[str, ...]:
        """Name the experiments of a point."""
        return tuple(experiment.digest for experiment in self.trials_of(parameters))

    def meaningful(self, parameters: Mapping[str, Value]) -> dict[str, Value]:
        """Leave out the values that mean nothing under the others, such as λ of a chosen direction.

        Raises:
            ValueError: A value is out of range.
        """
        settings, trial = searched_axes(), self.trials_of(parameters)[0]
        return {name: each for name, each in parameters.items() if settings[name].stands_in(trial)}

    def check(self) -> None:
        """Make sure that every value can be used, each with the first values of the others.

        Raises:
            ValueError: One cannot, or means nothing whatever the others are; the message says
                which.
        """
        # All combinations would be as many experiments to make; a range is as good as its ends.
        values = {each.name: each.choices or each.limits for each in self.space.parameters}
        first = {name: some[0] for name, some in values.items()}
        for name, some in values.items():
            for value in some:
                try:
                    self.names_of({**first, name: value})
                except ValueError as error:
                    raise ValueError(f"{name}={value} cannot be: {error}") from error
        # What others depend on is the way to a direction.
        ways = [{**first, "direction": way} for way in values.get("direction", ())] or [first]
        told = set().union(*map(self.meaningful, ways))
        idle = [name for name in self.space.names if name not in told]
        if idle:
            raise ValueError(
                f"{' and '.join(idle)} would vary, but changes nothing under the other settings "
                f"(directions are {self.grid.direction}): leave it out of the space."
            )

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
            # A look-up by state: what each state needs to count as known.
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
            trial = self.trials_of(record.parameters)[0]
        except ValueError:
            return None
        values: dict[str, Value] = {}
        for parameter in self.space.parameters:
            setting = searched_axes()[parameter.name]
            # A setting that did not vary then has the value that it had in the trial.
            if not setting.stands_in(trial):
                continue
            value = record.parameters.get(parameter.name, setting.value(trial))
            if value is None or value not in parameter:
                return None
            values[parameter.name] = value
        # Digests decide, not settings: what is fixed may have changed since.
        return values if self.names_of(values) == record.experiments else None

    def suggest(self, history: Sequence[Record], number: int) -> dict[str, Value]:
        """Suggest a point by the tree-structured Parzen estimator (Bergstra et al. 2011) of Optuna.

        With several objectives it is the multi-objective form (Ozaki et al. 2022), which looks for
        the points that no other beats in everything.

        Args:
            history: Points of the space that are known, whatever their number.
            number: Of the point that is wanted.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # A study of its own for each point: what a killed search knew is in the records alone.
        sampler = optuna.samplers.TPESampler(
            seed=derive_seed(self.seed, "tpe", number) % 2**32, n_startup_trials=self.random_first
        )
        goals = [f"{each.goal.upper()}IMIZE" for each in self.objectives]
        directions = [optuna.study.StudyDirection[goal] for goal in goals]
        study = optuna.create_study(directions=directions, sampler=sampler)
        distributions = {each.name: _distribution(each) for each in self.space.parameters}
        # Points end in any order, and the estimator's draws depend on the order of its history.
        for record in sorted(history, key=lambda each: each.number):
            if told := self._told(record):
                # Optuna wants a distribution for each value, and no others.
                params = {n: each for n, each in record.parameters.items() if n in distributions}
                among = {name: distributions[name] for name in params}
                frozen = optuna.trial.create_trial(params=params, distributions=among, **told)
                study.add_trial(frozen)
        point: dict[str, Value] = study.ask(distributions).params
        return {name: point[name] for name in self.space.names}

    def _told(self, record: Record) -> dict[str, Any]:
        """Give what a known point teaches, in Optuna's words; empty for nothing."""
        names = [each.name for each in self.objectives]
        if record.state == "complete" and all(name in record.values for name in names):
            return {"values": [record.values[name] for name in names]}
        last = {"held_out_loss": record.loss, "held_out_iou": record.iou}.get(self.watched)
        # Optuna compares pruned trials by their last value, which has to be that of the objective.
        compared = names == [self.watched] and None not in (last, record.percent)
        if record.state == "pruned" and compared:
            from optuna.trial import TrialState

            return {"state": TrialState.PRUNED, "intermediate_values": {record.percent: last}}
        return {}

    def draw_point(
        self, is_taken: Callable[[Mapping[str, Value]], bool], number: int
    ) -> dict[str, Value] | None:
        """Draw a point at random that is not taken; None if hardly any is left."""
        import numpy as np

        random = np.random.default_rng(derive_seed(self.seed, "random", number))
        drawn = (self.space.draw(random) for _ in range(_TRIES))
        return next((point for point in drawn if not is_taken(point)), None)


def _distribution(parameter: Parameter) -> "BaseDistribution":
    from optuna import distributions

    if parameter.choices:
        return distributions.CategoricalDistribution(parameter.choices)
    low, high, log = parameter.low, parameter.high, parameter.scale == "log"
    if parameter.whole:
        return distributions.IntDistribution(round(low), round(high), log=log)
    return distributions.FloatDistribution(low, high, log=log)


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
    # As many parts as give every process a group, or some would wait while one draws for all.
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
        # By experiments: points may differ in what means nothing and be the same.
        self._names = {record.experiments for record in (*self.known, *again)}
        # Those of other spaces, too: one file holds all, and a number stands once in it.
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
