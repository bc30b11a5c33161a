"""``gseg run NAME``: recipes by name, the tables and figures of both papers among them.

``python sweeps/paper.py NAME`` is the same command, ``python sweeps/all_gans.py`` the main job's.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from gseg.commands.app import HELP_ALL, console, is_option, make_app, words
from gseg.commands.given import needs, no_effect, typed
from gseg.commands.options import FIRST, NEEDS, WHAT, SweepOptions
from gseg.pipeline.settings import axes
from gseg.recipes.recipe import Recipe, recipes

# Labelled scenes of Table 13's embedded form.
_COUNT: Final = 50
# Of the scenes that are there to be trained on.
_FIRST: Final = 500_000
# Options that mean something where nothing is drawn and trained.
_OF_DIRECTIONS: Final = frozenset(
    {"--preset", "--weights", "--storage", "--results", "--dry-run", "--plain", "--cpus"}
    | {"--gpus-per-trial", "--concurrency", "--address", "--max-hours", "--max-trials"}
    | {"--placement", "--actors", "--min-actors"}
    | {each.flag for each in axes().values() if each.is_of_directions}
)
_LABELLED: Final = "voynov_table_5"


def recipe_list() -> str:
    """List the recipes of each paper: name, time of the embedded form here, what it shows."""
    width = max(map(len, recipes()))
    lines: list[str] = []
    for paper in dict.fromkeys(each.paper for each in recipes().values()):
        lines.append(
            f"{'' if not lines else chr(10)}{paper}, with the minutes of the embedded form"
        )
        lines += [
            f"  {each.name:{width}}  {each.takes:>6}  {each.shows}"
            for each in recipes().values()
            if each.paper == paper
        ]
    return "\n".join(lines)


@needs(*NEEDS)
def run_recipes(
    names: Annotated[tuple[str, ...], Parameter(choices=tuple(recipes()), show_choices=False)] = (),
    /,
    *,
    list_: Annotated[bool, Parameter(name="--list", group=WHAT)] = False,
    options: SweepOptions = SweepOptions(),
) -> int:
    """Run recipes, one after the other.

    Args:
        names: Of recipes, see --list.
        list_: List the recipes, with the time that they take here and what they show, and stop.
        options: Of sweeps.

    Returns:
        Exit status: 0 if all trials succeeded, 1 if some failed, 3 if some are left at the end of
        --max-hours or --max-trials.
    """
    others = sorted(typed() - {"--list"})
    if list_ and others:
        raise ValueError(no_effect(others, "with --list", "leave --list out"))
    if not others:
        console().print(recipe_list())
        return 0
    if not names:
        raise ValueError("NAMES is missing: which recipe? --list names them.")
    with ExitStack() as stack:
        # All are made before one runs: what is wrong with the last is said at once.
        made = [stack.enter_context(_made(recipes()[name], options)) for name in names]
        return max(run() for run in made)


@contextmanager
def _made(recipe: Recipe, options: SweepOptions) -> Iterator[Callable[[], int]]:
    """Give what runs a recipe: plan, what is missing, tables and figures.

    Raises:
        ValueError: An option is out of range, or means nothing to the recipe.
    """
    _check_options(recipe)
    if recipe.ends_with == "direction":
        from gseg.commands.sweep import DirectionSweep

        yield DirectionSweep(recipe, options, console()).run
        return
    from gseg.commands.endings import ENDINGS
    from gseg.commands.sweep import Sweep

    with _labelled(recipe, options) as chosen:
        sweep = Sweep(recipe, chosen, console())

        def run() -> int:
            status = sweep.run()
            if status == 0 and not chosen.running.dry_run and recipe.name in ENDINGS:
                ENDINGS[recipe.name](sweep.experiments, sweep.setting, chosen, console())
            return status

        yield run


def _check_options(recipe: Recipe) -> None:
    """Refuse options that would have no effect on a recipe."""
    given = frozenset(word for word in typed() if is_option(word))
    if recipe.name != _LABELLED and "--labeller" in given:
        raise ValueError(no_effect(["--labeller"], f"on {recipe.name}", f"run {_LABELLED}"))
    idle = sorted(given - _OF_DIRECTIONS)
    if recipe.ends_with == "direction" and idle:
        raise ValueError(no_effect(idle, f"on {recipe.name}, which ends with a direction"))


@contextmanager
def _labelled(recipe: Recipe, options: SweepOptions) -> Iterator[SweepOptions]:
    """Write labelled scenes for Table 13, unless pictures are named."""
    sampling = options.sampling
    if recipe.name != "table_13" or sampling.labelled or options.preset == "paper":
        yield options
        return
    from gseg.commands.scenes import write_scenes

    with tempfile.TemporaryDirectory() as elsewhere:
        # A dry run leaves no trace: its pictures are needed for the plan, and go with it.
        above = Path(elsewhere) if options.running.dry_run else options.places.results.absolute()
        folder = above / "table_13_pictures"
        write_scenes(folder, range(_FIRST, _FIRST + _COUNT))
        chosen = replace(
            sampling,
            labelled=f"folder:{folder}",
            labelled_count=sampling.labelled_count or _COUNT,
            nearest=sampling.nearest or folder / "images",
        )
        yield replace(options, sampling=chosen)


def recipes_app(name: str = "run") -> App:
    """Make the command of all recipes; its help tells of those that the command line names."""

    def about() -> str:
        named = [each for each in recipes().values() if each.name in words()]
        told = "\n\n".join(f"{each.paper}, {each.shows}.\n\n{each.about}" for each in named)
        return told or f"Tables and figures of both papers, by name:\n\n{recipe_list()}"

    app = make_app(name, about, first=("--list", *FIRST))
    app.default(run_recipes)
    return app


def recipe_app(recipe: Recipe) -> App:
    """Make the command of one recipe."""
    app = make_app(
        recipe.name.replace("_", "-"),
        f"{recipe.about}\n\n{HELP_ALL} shows all options.",
        first=FIRST,
    )

    @app.default
    @needs(*NEEDS)
    def run(*, options: SweepOptions = SweepOptions()) -> int:
        with _made(recipe, options) as made:
            return made()

    return app


run_app = recipes_app()
all_gans_app = recipe_app(recipes()["all_gans"])
