"""What a search is: a space, what stays the same, what is looked for, which points belong to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from gseg.pipeline.experiment import Experiment
from gseg.pipeline.settings import Value
from gseg.recipes.grids import Grid
from gseg.recipes.trials import point_trials
from gseg.search.objectives import Objective
from gseg.search.records import Record
from gseg.search.space import Space, searched_axes
from gseg.search.suggest import RANDOM_FIRST, Sampler

_RECIPE: Final = "search"


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
        random_first: See `gseg.search.suggest.suggest`.
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
        return {
            name: value for name, value in parameters.items() if settings[name].stands_in(trial)
        }

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
            trial = self.trials_of(record.parameters)[0]
        except ValueError:
            return None
        values: dict[str, Value] = {}
        for parameter in self.space.parameters:
            setting = searched_axes()[parameter.name]
            if not setting.stands_in(trial):
                continue
            value = record.parameters.get(parameter.name, setting.value(trial))
            if value is None or value not in parameter:
                return None
            values[parameter.name] = value
        return values if self.names_of(values) == record.experiments else None
