"""``gseg search``: a search over settings; plan, points, table, picture.

``python sweeps/search.py`` is the same command.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Final

from cyclopts import Group, Parameter

from gseg.commands.app import Count, Number, console, make_app
from gseg.commands.given import Needs, needs, no_effect, only_where, only_with, only_without
from gseg.commands.options import FIRST, NEEDS, SweepOptions
from gseg.distributed.runtime import WATCHED, Asha
from gseg.pipeline.settings import Value
from gseg.pipeline.settings import axes as settings
from gseg.recipes.grids import Axes, Grid, seeds_of
from gseg.recipes.trials import RECIPE_AXES, turned
from gseg.search.objectives import OBJECTIVES, chosen_objectives
from gseg.search.source import RANDOM_FIRST, Sampler, Search
from gseg.search.space import Parameter as SpaceParameter
from gseg.search.space import Space, parse_space, searched_axes

_POINTS: Final = 20


def _about(name: str) -> str:
    labels = ", with labels" if OBJECTIVES[name].uses_labels else ""
    return f"{name} ({OBJECTIVES[name].meaning}{labels})"


def _told(text: str) -> Parameter:
    return Parameter(help=text)


@Parameter(name="*", group=Group("what to search", sort_key=-1))
@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """What a search is told beside what a sweep is.

    Attributes:
        sampler: How points are picked: all of a grid, at random, or by Optuna's tree-structured
            Parzen estimator from what is known, for one objective or several.
        choose: In the end choose among all trials of the search as gseg choose does, without
            labels.
        use_labels: Allow objectives that use true masks; every row is then marked.
        points: Points of the space in all, those of earlier runs included; without it 20, for a
            grid all of it.
        search_seed: Of the search.
        random_first: Points drawn at random before the estimator takes over.
        name: Results go to results/NAME and results/NAME_trials; without it search, or
            search_labels with an objective that uses labels.
        asha_grace: Share of a training in percent before which no point is stopped.
        asha_factor: One in so many goes on each time.
        validate_every: Steps between two measurements in training; another number makes other
            segmenters' names, not other segmenters. Without it the preset's.
    """

    space: Annotated[
        tuple[str, ...],
        _told(
            "Settings that vary: NAME=choice:A,B,... or NAME=A,B,..., NAME=uniform:LOW:HIGH, "
            "NAME=log:LOW:HIGH. Several values of an option such as --epsilon are a choice, too. "
            f"Names: {', '.join(searched_axes())}."
        ),
    ] = ()
    sampler: Sampler = "tpe"
    objective: Annotated[
        tuple[str, ...],
        _told(
            f"What to look for: {', '.join(_about(name) for name in OBJECTIVES)}. Several give the "
            "points that no other beats in all of them."
        ),
    ] = ("combined",)
    choose: bool = False
    use_labels: bool = False
    points: Count | None = None
    search_seed: Number = 0
    random_first: Count = RANDOM_FIRST
    name: str | None = None
    asha: Annotated[
        str | None,
        Parameter(
            choices=WATCHED,
            help="Stop points early whose first network does badly while it is trained, measured "
            "on held-out generated pairs (asynchronous successive halving).",
        ),
    ] = None
    asha_grace: Count = Asha().grace
    asha_factor: float = Asha().factor
    validate_every: Count | None = None

    @property
    def halving(self) -> Asha | None:
        """Settings of the early stopping; None for none.

        Raises:
            ValueError: A number is out of range.
        """
        if self.asha is None:
            return None
        return Asha(watched=self.asha, grace=self.asha_grace, factor=self.asha_factor)


@needs(
    *NEEDS,
    only_with("--asha", "--asha-grace", "--asha-factor", value=WATCHED[0]),
    only_where("--sampler", ["tpe"], "--random-first"),
    only_where("--sampler", ["tpe", "random"], "--search-seed"),
    Needs(
        options=("--use-labels",),
        met=lambda given: any(
            name in OBJECTIVES and OBJECTIVES[name].uses_labels
            for name in given.values("--objective")
        ),
        lacking="without an objective that uses labels",
        instead="add --objective iou",
    ),
    only_without("--use-labels", "--choose"),
    Needs(options=("--tensorboard", "--labeller"), met=lambda _: False, lacking="on a search"),
)
def search(
    *, search: SearchOptions = SearchOptions(), options: SweepOptions = SweepOptions()
) -> int:
    """Search over settings: a grid, at random, or with Optuna, without labels.

    Each point is tried as a sweep's trial is, and what is in the storage is reused. By default a
    point is good if held-out generated pairs are learnt well and the shift divides the picture in
    two (combined); other objectives with --objective, one or several. For example

        gseg search --generators biggan.scenes32 --data-size 1000
            --space epsilon=uniform:0.3:2 mask_kind=lighter,both

    Running it again with more --points, or a wider --space, goes on from what is known. Results:
    results/search_trials (a line for each point), results/search (rows), results/search_figures.

    Returns:
        Exit status: 0 if all points were tried, 1 if some failed, 3 if some are left at the end of
        --max-hours or --max-trials.
    """
    from gseg.commands.search_run import SearchRun

    return SearchRun(search, options, console()).run()


def described_search(told: SearchOptions, options: SweepOptions) -> Search:
    """Give the search that the options describe.

    Raises:
        ValueError: Something is unknown, out of range, or does not fit the rest.
    """
    grid, axes = options.grid(), options.varied(default=("embedded",))
    if told.validate_every is not None:
        grid = replace(grid, training=replace(grid.training, validate_every=told.validate_every))
    objectives = chosen_objectives(
        told.objective,
        use_labels=told.use_labels,
        seeds=tuple(seeds_of(axes)),
        validation_size=grid.validation_size,
    )
    idle = [settings()[name] for name in options.varied() if name not in searched_axes()]
    if flags := [each.flag for each in idle if not each.is_seed]:
        raise ValueError(no_effect(flags, "on a search"))
    given = parse_space(told.space)
    _check_once(given, options.varied())
    space, fixed = _space_and_fixed(grid, axes, given)
    grid = turned(grid, {name: each for name, each in fixed.items() if name not in RECIPE_AXES})
    if told.asha is not None:
        _check_looks(grid)
    uses_labels = any(objective.uses_labels for objective in objectives)
    return Search(
        space=space,
        grid=grid,
        fixed={name: fixed[name] for name in RECIPE_AXES if name in fixed},
        objectives=objectives,
        sampler=told.sampler,
        points=told.points or (None if told.sampler == "grid" else _POINTS),
        trial_seeds=tuple(seeds_of(axes)),
        seed=told.search_seed,
        watched=told.asha or "",
        random_first=told.random_first,
        recipe=told.name or f"search{'_labels' if uses_labels else ''}",
    )


def _check_once(given: tuple[SpaceParameter, ...], axes: Axes) -> None:
    """Refuse an option whose setting the space varies."""
    twice = [searched_axes()[each.name].flag for each in given if each.name in axes]
    if twice:
        raise ValueError(no_effect(twice, "beside the same name in --space"))


def _check_looks(grid: Grid) -> None:
    training = grid.training
    if not 0 < training.validate_every < training.steps:
        raise ValueError(
            f"Points are stopped at measurements in training, but with {training.steps} steps and "
            f"one every {training.validate_every} there is none before the end: give "
            f"--validate-every {max(1, training.steps // 10)} or so."
        )


def _space_and_fixed(
    grid: Grid, axes: Axes, given: tuple[SpaceParameter, ...]
) -> tuple[Space, Mapping[str, Value]]:
    """Tell what varies from what stays: several values of an option are a choice."""
    named = {parameter.name for parameter in given}
    lists = {"data_size": (max(grid.data_sizes),), **axes}
    unique = {name: tuple(dict.fromkeys(values)) for name, values in lists.items()}
    varied = tuple(
        SpaceParameter(name=name, choices=unique[name])
        for name in searched_axes()
        if len(unique.get(name, ())) > 1 and name not in named
    )
    names = {*named, *(parameter.name for parameter in varied)}
    fixed = {
        name: values[0]
        for name, values in unique.items()
        if name in searched_axes() and name not in names
    }
    return Space(parameters=(*varied, *given)), fixed


app = make_app(
    "search", "", first=("--space", "--sampler", "--objective", "--points", "--choose", *FIRST)
)
app.default(search)
