"""The command line of searches: plan, points, table, picture."""

import argparse
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from gseg.commands.checks import check_results, open_benchmarks
from gseg.commands.control import Control
from gseg.commands.messages import plan_lines, run_told, slots_here
from gseg.commands.options import chosen_resources, chosen_setting
from gseg.commands.search_view import Keeper, PointView
from gseg.commands.searching import chosen_asha, chosen_search, search_parser
from gseg.distributed.runtime import ray_session
from gseg.distributed.search import run_search
from gseg.distributed.tuning import trials_at_once
from gseg.generators.catalogue import use_weights
from gseg.generators.identity import weights_digest
from gseg.pipeline.plan import SweepPlan, make_plan
from gseg.reports.search import draw_search, search_table
from gseg.search.best import best_points
from gseg.search.definition import Search
from gseg.search.records import Record, read_records
from gseg.search.source import Point, PointSource
from gseg.storage.store import Store

_PLANNED: Final = 64
"""Points that the plan's estimates are taken from, where there are more."""
_SUCCESS, _SOME_FAILED, _SOME_LEFT = 0, 1, 3


def search_main(description: str, arguments: list[str] | None = None) -> int:
    """Run a search from the command line.

    Args:
        description: What ``--help`` says first.
        arguments: Command line; that of the process by default.

    Returns:
        Exit status: 0 if all points were tried, 1 if some failed, 2 for wrong use, 3 if some are
        left at the end of --max-hours or --max-trials.
    """
    options = search_parser(description).parse(arguments)
    return run_told(lambda console: _SearchRun(options, console).run())


class _SearchRun:
    """One run of a search command."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self._options, self._console, self._begun = options, console, time.monotonic()
        use_weights(options.weights)
        self._control, self._asha = Control.chosen(options), chosen_asha(options)
        self._resources, self._setting = chosen_resources(options), chosen_setting(options)
        self._search: Search = chosen_search(options)
        self._results: Path = options.results / self._search.recipe
        self._trials = self._results.with_name(f"{self._search.recipe}_trials")

    def run(self) -> int:
        """Plan, try points, print the table, draw the picture."""
        self._check()
        earlier = self._earlier()
        source = self._source(earlier, at_once=1)
        self._print_plan(source)
        if self._options.dry_run:
            return _SUCCESS
        keeper = Keeper(self._results, self._trials)
        if source.left:
            source = self._run(source, keeper, earlier)
        return self._report(source, keeper)

    def _source(self, earlier: list[Record], *, at_once: int) -> PointSource:
        return PointSource(
            self._search,
            earlier,
            at_once=at_once,
            most=self._control.max_trials,
            retry_failed=self._control.retry_failed,
        )

    def _check(self) -> None:
        """Find out what would go wrong before any work starts."""
        open_benchmarks(self._setting)
        self._search.check()
        for name in self._generators():
            weights_digest(name)
        dry = self._options.dry_run
        Store(self._setting.storage, read_only=dry).check()
        check_results(self._results, read_only=dry)
        Store(self._trials, read_only=dry).check()

    def _generators(self) -> list[str]:
        for parameter in self._search.space.parameters:
            if parameter.name == "generator":
                return [str(name) for name in parameter.choices]
        return [str(self._search.fixed["generator"])]

    def _earlier(self) -> list[Record]:
        """Read the points of earlier runs.

        Raises:
            ValueError: They are of a search that chose by labels, or this one does.
        """
        records = read_records(self._trials)
        mixed = [each for each in records if each.labels_used != self._search.uses_labels]
        if mixed:
            kind = "with" if mixed[0].labels_used else "without"
            raise ValueError(
                f"{self._trials} holds a search {kind} labels, and this one is the other kind: the "
                "two are kept apart. Choose another --name."
            )
        return records

    def _print_plan(self, source: PointSource) -> None:
        say, search = self._console.print, self._search
        goals = ", ".join(f"{each.name} ({each.goal})" for each in search.objectives)
        labels = "chosen by labels" if search.uses_labels else "no labels used"
        names = ", ".join(search.space.names)
        say(f"{search.recipe}: {search.sampler} over {names}; {goals}; {labels}")
        states = [record.state for record in source.known]
        counts = ", ".join(
            f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed")
        )
        say(f"{source.wanted} points, {len(states)} known ({counts}), {source.left} to try")
        if not source.left:
            return
        plan, share = self._plan(source.left)
        cpus = self._options.cpus or os.cpu_count() or 1
        here = self._options.address is None
        slots = slots_here(self._resources, cpus, source.left) if here else None
        if share > 1:
            say(f"as much as {share:g} times these {_PLANNED} points drawn at random:")
        for line in plan_lines(plan, self._resources.device, slots):
            say(line)

    def _plan(self, left: int) -> tuple[SweepPlan, float]:
        """Plan the points, or some drawn at random; also give what share of all they are."""
        search, random = self._search, np.random.default_rng(self._search.seed)
        if search.sampler == "grid":
            points = search.space.points()[:left]
        else:
            points = [search.space.draw(random) for _ in range(min(left, _PLANNED))]
        trials = [experiment for point in points for experiment in search.trials_of(point)]
        plan = make_plan(trials, self._setting, self._resources.device)
        return plan, left / len(points)

    def _run(self, source: PointSource, keeper: Keeper, earlier: list[Record]) -> PointSource:
        largest = self._plan(source.left)[0].largest
        large = self._resources.is_large(largest) or self._resources.workers > 1
        view = PointView(
            self._console, source.left, self._search, self._setting.storage, self._options.plain
        )
        keeper.view = view
        with self._console.status("starting Ray"):
            session = ExitStack()
            address, cpus = self._options.address, self._options.cpus
            session.enter_context(ray_session(address, num_cpus=cpus, dashboard=large))
        with session, view.view:
            at_once = trials_at_once(self._resources, large=large)
            source = self._source(earlier, at_once=at_once)
            run_search(
                self._search,
                source,
                self._setting,
                self._resources,
                listener=keeper,
                at_once=at_once,
                large=large,
                asha=self._asha,
                seconds=self._control.seconds_left(self._begun),
            )
        return source

    def _report(self, source: PointSource, keeper: Keeper) -> int:
        say, search = self._console.print, self._search
        records = source.tried
        if best_points(records, search.objectives):
            self._console.print(
                search_table(records, search.space, search.objectives, f"best of {search.recipe}")
            )
        failed = [record for record in records if record.state == "failed"]
        for record in failed:
            again = (
                ""
                if record.number in keeper.ended_numbers
                else " (an earlier run; see --retry-failed)"
            )
            label = Point(number=record.number, parameters=record.parameters).label
            say(f"failed: {label}: {record.reason}{again}", style="red", markup=False)
        picture = self._results.with_name(f"{search.recipe}_figures") / "search.png"
        if draw_search(picture, records, search.space, search.objectives, title=search.recipe):
            say(f"figure: {picture}", markup=False)
        say(f"points: {self._trials}", markup=False)
        say(f"rows: {self._results}", markup=False)
        left = source.wanted - len(records)
        if source.is_exhausted:
            say(f"The space has no other points: {len(records)} of {source.wanted} asked for")
        elif left > 0:
            points = "point is" if left == 1 else "points are"
            say(f"{left} {points} left; the same command goes on with them")
            return _SOME_FAILED if failed else _SOME_LEFT
        return _SOME_FAILED if failed else _SUCCESS
