"""What a recipe is: an experiment of a paper by the name of its table or figure."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Literal, TypeVar

from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.experiment import Experiment
from gseg.recipes.grids import Axes, Grid
from gseg.recipes.trials import distilled
from gseg.scores.specs import Rule

BEST_CHAIN: Final[Rule] = "mahalanobis_centred_grabcut"
"""The chain of rules with the highest IoU on validation scenes."""
Line = Mapping[str, Any]
Label = Callable[[Grid, Line], str | None]
Make = Callable[[Grid, Axes], Sequence[Experiment | DirectionTrial]]
_Made = TypeVar("_Made", bound=Make)
_MODULES: Final = ("melas2022", "voynov2021")


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperTable:
    """A published table beside which a recipe's results are shown.

    Attributes:
        number: Of the table.
        label: Says which row's label belongs to a line of results, None for no row. Rows of
            another generator than the line's, or the one that it stands for, are never shown.
        columns: Columns of results that tell the lines of one row apart, or that the labels do
            not spell out.
        paper: Of which paper.
        note: What is to be said of the embedded form.
    """

    number: str
    label: Label | None = None
    columns: tuple[str, ...] = ()
    paper: str = "melas2022"
    note: str = ""


def is_given(value: Any) -> bool:  # noqa: ANN401 a cell of any column
    """Say whether a line of results has this value: pandas marks what is missing in many ways."""
    import pandas as pd

    return bool(pd.notna(value))


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """An experiment by name.

    Attributes:
        name: By which it is run; its results go to ``results/<name>``.
        shows: What it is about, in one line.
        paper: Whose table or figure it is.
        takes: How long its embedded form takes on two cores, in words.
        about: What the embedded form does, and what the paper's form needs.
        make: Makes the trials of a grid and of what varies; what is left open is the paper's.
        ends_with: Whether its trials end with scores of segmenters, or with a direction.
        generators: Words for generators, where none are named and `make` chooses none.
        table: The published table that it is about.
        benchmarks: Of the paper's size, where none are named; by default the table's.
        runs: Seeds of each trial, where none are named, by the name of the grid; else one.
        rules: Rules with whose masks of scenes the network is trained, too, see `trials`.
    """

    name: str
    shows: str
    paper: str = "Melas-Kyriazi et al. 2022"
    takes: str
    about: str
    make: Make
    ends_with: Literal["scores", "direction"] = "scores"
    generators: tuple[str, ...] = ()
    table: PaperTable | None = None
    benchmarks: tuple[str, ...] = ()
    runs: Mapping[str, int] | None = None
    rules: tuple[Rule, ...] = (BEST_CHAIN,)

    def trials(self, grid: Grid, axes: Axes) -> list[Experiment | DirectionTrial]:
        """Make all trials: those of `make`, and beside them what a generator has to beat.

        The paper's size has no scenes, and so none of these.
        """
        found = list(self.make(grid, axes))
        scored = [each for each in found if isinstance(each, Experiment)]
        if grid.name == "paper" or not scored:
            return found
        more = distilled(grid, scored, axes.get("rule", self.rules), self.name)
        # Before trials get smaller, so that one core is not left with a long one in the end.
        most = max(each.data_size for each in scored)
        sizes = (
            (i, each.data_size) for i, each in enumerate(found) if isinstance(each, Experiment)
        )
        place = next((i for i, size in sizes if size < most), len(found))
        return [*found[:place], *more, *found[place:]]


_KNOWN: Final[dict[str, Recipe]] = {}


def recipe(shows: str, takes: str, **facts: Any) -> Callable[[_Made], _Made]:  # noqa: ANN401
    """Make a function a recipe: its name is the recipe's, its docstring says what it is about.

    Args:
        shows: See `Recipe`, as the others.
        takes: See `Recipe`.
        facts: Others of its fields.
    """

    def register(make: _Made) -> _Made:
        name, about = make.__name__, inspect.getdoc(make) or ""
        _KNOWN[name] = Recipe(name=name, shows=shows, takes=takes, about=about, make=make, **facts)
        return make

    return register


def recipes() -> Mapping[str, Recipe]:
    """Give all recipes by name, in the papers' order."""
    # A module registers what it decorates; none is imported before somebody asks.
    for module in _MODULES:
        import_module(f"gseg.recipes.{module}")
    return _KNOWN
