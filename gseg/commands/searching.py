"""The options of searches beside those of sweeps, and the search that they describe."""

import argparse
from dataclasses import replace
from typing import Final, get_args

from gseg.commands.app import Parser, at_least
from gseg.commands.options import chosen_axes, chosen_grid, sweep_parser
from gseg.distributed.runtime import WATCHED, Asha
from gseg.pipeline.settings import Value
from gseg.recipes.grids import Axes, Grid, seeds_of
from gseg.recipes.trials import RECIPE_AXES, turned
from gseg.search.definition import RANDOM_FIRST, Sampler, Search
from gseg.search.objectives import OBJECTIVES, chosen_objectives
from gseg.search.space import Parameter, Space, parse_space, searched_axes

_LABELS: Final = "_labels"


def search_parser(description: str) -> Parser:
    """Make the parser of the search's command line.

    Args:
        description: What ``--help`` says first.

    Returns:
        The parser: a sweep's, where several values of a setting are a list to choose from.
    """
    parser = sweep_parser(description)
    group = parser.add_argument_group("what to search")
    group.add_argument(
        "--space",
        nargs="+",
        default=[],
        metavar="NAME=VALUES",
        help="settings that vary: NAME=choice:A,B,... or NAME=A,B,..., NAME=uniform:LOW:HIGH, "
        "NAME=log:LOW:HIGH. Several values of an option such as --epsilon are a choice, too. "
        f"Names: {', '.join(searched_axes())}",
    )
    group.add_argument(
        "--sampler",
        choices=get_args(Sampler),
        default="tpe",
        help="how points are picked: all of a grid, at random, or by Optuna's tree-structured "
        "Parzen estimator from what is known, for one objective or several. Default: tpe",
    )
    group.add_argument(
        "--objective",
        nargs="+",
        default=["combined"],
        metavar="NAME",
        help="what to look for: " + ", ".join(_about(name) for name in OBJECTIVES) + ". Several "
        "give the points that no other beats in all of them. Default: combined",
    )
    group.add_argument(
        "--use-labels",
        action="store_true",
        help="allow objectives that use true masks; every row is then marked",
    )
    group.add_argument(
        "--points",
        type=at_least(1),
        metavar="N",
        help="points of the space in all, those of earlier runs included. Default: 20; for a grid "
        "all of it",
    )
    group.add_argument(
        "--search-seed",
        type=at_least(0),
        default=0,
        metavar="SEED",
        help="of the search. Default: 0",
    )
    group.add_argument(
        "--random-first",
        type=at_least(1),
        default=RANDOM_FIRST,
        metavar="N",
        help=f"points drawn at random before the estimator takes over. Default: {RANDOM_FIRST}",
    )
    group.add_argument(
        "--name",
        metavar="NAME",
        help="results go to results/NAME and results/NAME_trials. Default: search, or "
        "search_labels with an objective that uses labels",
    )
    _add_stopping(parser.add_argument_group("when to stop a point early"))
    return parser


def _about(name: str) -> str:
    labels = ", with labels" if OBJECTIVES[name].uses_labels else ""
    return f"{name} ({OBJECTIVES[name].meaning}{labels})"


def _add_stopping(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--asha",
        choices=WATCHED,
        metavar="OBJECTIVE",
        help="stop points early whose first network does badly while it is trained, measured on "
        f"held-out generated pairs (asynchronous successive halving): {' or '.join(WATCHED)}. "
        "Default: none are stopped",
    )
    group.add_argument(
        "--asha-grace",
        type=at_least(1),
        default=Asha().grace,
        metavar="PERCENT",
        help="share of a training before which no point is stopped. Default: 25",
    )
    group.add_argument(
        "--asha-factor",
        type=float,
        default=Asha().factor,
        metavar="F",
        help="one in so many goes on each time. Default: 2",
    )
    group.add_argument(
        "--validate-every",
        type=at_least(1),
        metavar="STEPS",
        help="steps between two measurements in training; another number makes other segmenters' "
        "names, not other segmenters. Default: the grid's",
    )


def chosen_search(options: argparse.Namespace) -> Search:
    """Give the search that the options describe.

    Raises:
        ValueError: Something is unknown, out of range, or does not fit the rest.
    """
    grid, axes = chosen_grid(options), chosen_axes(options, default=("embedded",))
    if options.validate_every is not None:
        training = replace(grid.training, validate_every=options.validate_every)
        grid = replace(grid, training=training)
    objectives = chosen_objectives(
        options.objective,
        use_labels=options.use_labels,
        seeds=tuple(seeds_of(axes)),
        validation_size=grid.validation_size,
    )
    space, fixed = _space_and_fixed(grid, axes, parse_space(options.space))
    others = {name: value for name, value in fixed.items() if name not in RECIPE_AXES}
    grid = turned(grid, others)
    if options.asha is not None:
        _check_looks(grid)
    points = options.points or (None if options.sampler == "grid" else 20)
    uses_labels = any(objective.uses_labels for objective in objectives)
    return Search(
        space=space,
        grid=grid,
        fixed={name: fixed[name] for name in RECIPE_AXES if name in fixed},
        objectives=objectives,
        sampler=options.sampler,
        points=points,
        trial_seeds=tuple(seeds_of(axes)),
        seed=options.search_seed,
        watched=options.asha or "",
        random_first=options.random_first,
        recipe=options.name or f"search{_LABELS if uses_labels else ''}",
    )


def chosen_asha(options: argparse.Namespace) -> Asha | None:
    """Give the settings of the early stopping; None for none.

    Raises:
        ValueError: A number is out of range.
    """
    if options.asha is None:
        return None
    return Asha(watched=options.asha, grace=options.asha_grace, factor=options.asha_factor)


def _check_looks(grid: Grid) -> None:
    training = grid.training
    if not 0 < training.validate_every < training.steps:
        raise ValueError(
            f"Points are stopped at measurements in training, but with {training.steps} steps and "
            f"one every {training.validate_every} there is none before the end: give "
            f"--validate-every {max(1, training.steps // 10)} or so."
        )


def _space_and_fixed(
    grid: Grid, axes: Axes, given: tuple[Parameter, ...]
) -> tuple[Space, dict[str, Value]]:
    """Tell what varies from what stays: several values of an option are a choice."""
    named = {parameter.name for parameter in given}
    lists = {"data_size": (max(grid.data_sizes),), **axes}
    unique = {name: tuple(dict.fromkeys(values)) for name, values in lists.items()}
    varied = tuple(
        Parameter(name=name, choices=unique[name])
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
