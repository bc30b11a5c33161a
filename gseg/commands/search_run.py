"""One run of a search: plan, points, table, picture."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from rich.console import Console

from gseg.commands.choose import show_choice
from gseg.commands.options import SweepOptions
from gseg.commands.points import PointsCommand, exit_status
from gseg.commands.search import SearchOptions, described_search
from gseg.commands.sweep import check_axes
from gseg.distributed.view import TrialsView
from gseg.pipeline.plan import SweepPlan, make_plan
from gseg.pipeline.rows import Row, merge_rows
from gseg.pipeline.rows import results as read_results
from gseg.reports.search import draw_search, search_table
from gseg.search.choice import choose_trials
from gseg.search.evaluate import SearchWork
from gseg.search.objectives import CHOICE
from gseg.search.records import Record, best_points, heal_records, keep_records
from gseg.search.source import Point, PointSource
from gseg.storage.digests import digest

# Points that the plan's estimates are taken from, where there are more.
_PLANNED: Final = 64


class SearchRun(PointsCommand):
    """One run of a search command."""

    def __init__(self, told: SearchOptions, options: SweepOptions, console: Console) -> None:
        super().__init__(options, console)
        self._choose = told.choose
        self._asha, self._setting = told.halving, options.context()
        self._search = described_search(told, options)
        self._results = options.places.results / self._search.recipe
        self._trials = self._results.with_name(f"{self._search.recipe}_trials")
        self._ended: set[int] = set()
        self._scored_on = ""

    def run(self) -> int:
        """Plan, try points, print the table, draw the picture."""
        self._check()
        source = PointSource(
            self._search,
            self._earlier(),
            most=self._control.max_trials,
            retry_failed=self._control.retry_failed,
        )
        self._print_known(source)
        plan = self._print_plan(source.left) if source.left else None
        if self._dry_run:
            return exit_status(failed=False, left=False)
        if plan is not None:
            self._run(source, plan)
        return self._report(source)

    def _check(self) -> None:
        """Find out what would go wrong before any work starts."""
        self._search.check()
        random = np.random.default_rng(self._search.seed)
        points = [self._search.space.draw(random) for _ in range(_PLANNED)]
        trials = [each for point in points for each in self._search.trials_of(point)]
        stays = {name: each for name, each in self._options.varied().items() if not each[1:]}
        check_axes(stays, trials, "on this search")
        opened = self._open(self._generators())
        if self._search.uses_labels:
            self._scored_on = digest(opened[0].identity, self._setting.eval_protocol)
        self._check_folders(self._trials)
        self._tell_files(opened)

    def _generators(self) -> list[str]:
        for parameter in self._search.space.parameters:
            if parameter.name == "generator":
                return [str(name) for name in parameter.choices]
        return [str(self._search.fixed["generator"])]

    def _earlier(self) -> list[Record]:
        """Read the points of earlier runs.

        Raises:
            ValueError: They are of a search that chose by labels, or this one does; or by those
                of other pictures.
        """
        records = heal_records(self._trials, read_only=self._dry_run)
        mixed = [each for each in records if each.labels_used != self._search.uses_labels]
        if mixed:
            kind = "with" if mixed[0].labels_used else "without"
            raise ValueError(
                f"{self._trials} holds a search {kind} labels, and this one is the other kind: the "
                "two are kept apart. Choose another --name."
            )
        if any(each.scored_on not in ("", self._scored_on) for each in records):
            raise ValueError(
                f"{self._trials} holds a search that chooses by the labels of other pictures, or "
                "of these as they were: its points do not compare. Choose another --name."
            )
        return records

    def _print_known(self, source: PointSource) -> None:
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

    def _print_plan(self, left: int) -> SweepPlan:
        """Plan the points, or some drawn at random, and say what they take."""
        say = self._console.print
        search, random = self._search, np.random.default_rng(self._search.seed)
        if search.sampler == "grid":
            points = search.space.points()[:left]
        else:
            points = [search.space.draw(random) for _ in range(min(left, _PLANNED))]
        trials = [experiment for point in points for experiment in search.trials_of(point)]
        plan = make_plan(trials, self._setting, self._resources.device)
        if left > len(points):
            share = left / len(points)
            say(f"as much as {share:g} times these {_PLANNED} points drawn at random:")
        for line in self._plan_lines(plan, left):
            say(line)
        return plan

    def _run(self, source: PointSource, plan: SweepPlan) -> None:
        work = SearchWork(search=self._search)
        view = TrialsView(
            self._console,
            source.left,
            self._watched(work, lambda point: point.label),
            objectives=[each.name for each in self._search.objectives],
            plain=self._options.running.plain,
        )

        def source_of(at_once: int) -> PointSource:
            source.at_once = at_once
            return source

        self._try(work, source_of, view, self._keep, largest=plan.largest, asha=self._asha)

    def _keep(self, record: Record, rows: list[Row]) -> None:
        """Keep what came of a point."""
        if rows:
            merge_rows(self._results, rows)
        keep_records(self._trials, [replace(record, scored_on=self._scored_on)])
        self._ended.add(record.number)

    def _report(self, source: PointSource) -> int:
        say, search = self._console.print, self._search
        records = source.tried
        if best_points(records, search.objectives):
            self._console.print(
                search_table(records, search.space, search.objectives, f"best of {search.recipe}")
            )
        failed = [record for record in records if record.state == "failed"]
        for record in failed:
            again = "" if record.number in self._ended else " (an earlier run; see --retry-failed)"
            label = Point(number=record.number, parameters=record.parameters).label
            say(f"failed: {label}: {record.reason}{again}", style="red")
        picture = self._results.with_name(f"{search.recipe}_figures") / "search.png"
        if draw_search(picture, records, search.space, search.objectives, title=search.recipe):
            say(f"figure: {picture}")
        say(f"points: {self._trials}")
        say(f"rows: {self._results}")
        if self._choose and any(record.state == "complete" for record in records):
            self._show_choice(records)
        left = source.wanted - len(records)
        if source.is_exhausted:
            say(f"The space has no other points: {len(records)} of {source.wanted} asked for")
            left = 0
        elif left > 0:
            points = "point is" if left == 1 else "points are"
            say(f"{left} {points} left; the same command goes on with them")
        return exit_status(failed=bool(failed), left=left > 0)

    def _show_choice(self, records: Sequence[Record]) -> None:
        """Choose among the trials of all points without labels."""
        import torch

        tried = {name for each in records if each.state == "complete" for name in each.experiments}
        rows = read_results(self._results)
        # The driver of a cluster may have no GPU.
        device = self._resources.device if torch.cuda.is_available() else "cpu"
        found = rows[rows["experiment"].isin(tried)]
        try:
            ranking = choose_trials(found, self._options.places.storage, device=device)
        except ValueError as error:  # the points are there all the same
            self._console.print(f"nothing chosen: {error}", style="yellow")
        else:
            show_choice(ranking, CHOICE, self._console)
