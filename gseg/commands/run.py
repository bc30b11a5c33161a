"""The command line that all sweeps share: plan, run, table, figures."""

import argparse
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

import pandas as pd
from rich.console import Console

from gseg.commands.checks import Keeper, check_results, open_benchmarks
from gseg.commands.control import Control
from gseg.commands.messages import (
    earlier_failure,
    failure_line,
    left_line,
    plan_lines,
    run_told,
    slots_here,
)
from gseg.commands.options import (
    chosen_axes,
    chosen_grids,
    chosen_resources,
    chosen_setting,
    sweep_parser,
)
from gseg.commands.sampling import check_samples
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import ray_session
from gseg.distributed.sweep import Failure, run_sweep
from gseg.distributed.view import SweepView, format_seconds
from gseg.generators.catalogue import use_weights
from gseg.generators.identity import weights_digest
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.failures import known_failure
from gseg.pipeline.plan import Costs, SweepPlan, is_planned, make_plan
from gseg.pipeline.rows import Key, Row, fill_rows, key_of, known_scores, merge_rows
from gseg.pipeline.trial import Context, find_rows, run_trial
from gseg.recipes import Axes, Grid, baselines
from gseg.recipes.tables import PaperTable
from gseg.reports.labels import experiment_labels
from gseg.reports.losses import write_trial_events
from gseg.reports.paper_tables import paper_benchmarks, paper_lines, paper_table
from gseg.reports.sweep import draw_distances, draw_sheets, write_image_scores
from gseg.reports.tables import sweep_tables
from gseg.scores.benchmarks import Benchmark
from gseg.scores.protocol import DEFAULT_PROFILES
from gseg.storage.mirror import describe
from gseg.storage.store import StorageError, Store

Recipe = Callable[[Grid, Axes], list[Experiment]]

_SUCCESS: Final = 0
_SOME_FAILED: Final = 1
_SOME_LEFT: Final = 3


def sweep_main(
    name: str,
    recipe: Recipe,
    description: str,
    arguments: list[str] | None = None,
    *,
    table: PaperTable | None = None,
    first: Costs | None = None,
) -> int:
    """Run a sweep from the command line.

    Args:
        name: Of the recipe; its results go to ``results/<name>/``.
        recipe: Makes the experiments.
        description: What ``--help`` says first.
        arguments: Command line; that of the process by default.
        table: The published table that the recipe is about: it chooses the generators, and with
            the paper's grid the benchmarks, unless the command line does.
        first: What the recipe would have to make itself; it may add to it, in a dry run.

    Returns:
        Exit status: 0 if all trials succeeded, 1 if some failed, 2 for wrong use, 3 if some are
        left at the end of --max-hours or --max-trials.
    """
    options = sweep_parser(description).parse(arguments)
    return run_told(lambda console: _Sweep(name, recipe, options, console, table, first).run())


def chosen_trials(
    recipe: Recipe, options: argparse.Namespace, table: PaperTable | None = None
) -> tuple[list[Experiment], Context]:
    """Make the experiments that a command line asks for, and what they have in common.

    Args:
        recipe: Makes the experiments.
        options: Of the command line.
        table: See `sweep_main`.

    Returns:
        Experiments and setting.

    Raises:
        ValueError: A value is out of range.
    """
    varied = chosen_axes(options, default=("embedded",) if table is None else ())
    found = [each for grid in chosen_grids(options) for each in recipe(grid, varied)]
    benchmarks: tuple[str, ...] = ("scenes",)
    if table is not None and options.grid == "paper":
        benchmarks = paper_benchmarks(table)
    return list(dict.fromkeys(found)), chosen_setting(options, default=benchmarks)


class _Sweep:
    """One run of a sweep command."""

    def __init__(
        self,
        name: str,
        recipe: Recipe,
        options: argparse.Namespace,
        console: Console,
        table: PaperTable | None = None,
        first: Costs | None = None,
    ) -> None:
        self._first: Costs = {} if first is None else first
        self._name, self._options, self._console, self._table = name, options, console, table
        use_weights(options.weights)
        self._resources = chosen_resources(options)
        self._grid = chosen_grids(options)[0]
        self._experiments, self._setting = chosen_trials(recipe, options, table)
        self._results: Path = options.results / name
        self._control, self._begun = Control.chosen(options), time.monotonic()
        self._rows: dict[Key, Row] = {}

    def run(self) -> int:
        """Plan, run what is missing, print the table, draw the figures."""
        benchmarks = self._check()
        pending = [each for each in self._experiments if not self._find(each)]
        failures = [] if self._control.retry_failed else self._failed_before(pending)
        failed = {failure.experiment for failure in failures}
        chosen = [each for each in pending if each not in failed][: self._control.max_trials]
        plan = self._plan(chosen, {**self._first, **self._baselines()})
        self._print_plan(len(pending), chosen, plan)
        if self._options.dry_run:
            return _SUCCESS
        failures += self._run(chosen, plan)
        self._keep([])
        self._report(benchmarks)
        for failure in failures:
            self._console.print(failure_line(failure), style="red", markup=False, soft_wrap=True)
        left = self._left(pending, failures)
        if left:
            estimates = self._plan(left).estimates
            self._console.print(left_line(left, estimates, self._control), soft_wrap=True)
        if failures:
            return _SOME_FAILED
        return _SOME_LEFT if left else _SUCCESS

    def _plan(self, experiments: list[Experiment], first: Costs | None = None) -> SweepPlan:
        return make_plan(experiments, self._setting, self._resources.device, first=first)

    def _baselines(self) -> Costs:
        """Find the scores of predictors without a network that are not there."""
        return self._plan(baselines(self._name)).missing

    def _failed_before(self, pending: list[Experiment]) -> list[Failure]:
        """Find the trials that would fail again by their own fault."""
        known = [(each, known_failure(each, self._setting)) for each in pending]
        return [earlier_failure(each, failed) for each, failed in known if failed is not None]

    def _left(self, pending: list[Experiment], failures: list[Failure]) -> list[Experiment]:
        """Say which trials have neither finished nor failed."""
        done = {row["experiment"] for row in self._rows.values()}
        done |= {failure.experiment.digest for failure in failures}
        return [each for each in pending if each.digest not in done]

    def _check(self) -> list[Benchmark]:
        """Find out what would go wrong before any work starts; open the benchmarks."""
        opened = open_benchmarks(self._setting)
        for name in dict.fromkeys(each.generator for each in self._experiments if each.generator):
            weights_digest(name)
        for experiment in self._experiments:
            if not is_planned(experiment):
                check_samples(experiment)
        dry = self._options.dry_run
        Store(self._setting.storage, read_only=dry).check()
        check_results(self._results, read_only=dry)
        for benchmark in opened:
            for line in benchmark.bad:
                self._console.print(f"skipped: {line}", markup=False, soft_wrap=True)
        return opened

    def _find(self, experiment: Experiment) -> bool:
        rows = find_rows(experiment, self._setting, self._resources.device)
        if rows is not None:
            self._take(rows)
        return rows is not None

    def _take(self, rows: list[Row]) -> None:
        self._rows.update({key_of(row): row for row in rows})

    def _keep(self, rows: list[Row]) -> None:
        """Write new rows to the results; a row whose scores are there already stays as it is."""
        self._take(rows)
        known = known_scores(self._results)
        fresh = [row for key, row in self._rows.items() if known.get(key) != row["scores"]]
        fill_rows(self._results, self._rows.values())
        if fresh:
            merge_rows(self._results, fresh)

    def _take_in(self, experiment: Experiment, rows: list[Row]) -> None:
        """Keep what a trial has left."""
        self._keep(rows)
        self._write_events(experiment)

    def _write_events(self, experiment: Experiment) -> None:
        """Write the curves of a finished trial for TensorBoard, if asked to."""
        if self._options.tensorboard is not None:
            device = self._resources.device
            write_trial_events(self._options.tensorboard, experiment, self._setting, device)

    def _print_plan(self, pending: int, chosen: list[Experiment], plan: SweepPlan) -> None:
        say = self._console.print
        total = len(self._experiments)
        done = total - pending
        where = describe(self._setting.storage)
        say(f"{self._name}: {total} trials, {done} of them finished in {where}")
        if not chosen:
            return
        if len(chosen) < pending:
            say(f"now: {len(chosen)} of the {pending} others (see --max-trials, --retry-failed)")
        cpus = self._options.cpus or os.cpu_count() or 1
        here = self._options.address is None
        slots = slots_here(self._resources, cpus, len(chosen)) if here else None
        for line in plan_lines(plan, self._resources.device, slots):
            say(line)
        if self._options.dry_run:
            for label, seconds in zip(experiment_labels(chosen), plan.estimates, strict=True):
                say(f"  {label}: {format_seconds(seconds)}", markup=False)
        if plan.disk_bytes > Store(self._setting.storage).free_bytes():
            raise StorageError(
                f"The samples need {plan.disk_bytes / 2**30:.1f} GiB, but {self._setting.storage} "
                "has less space left. Choose another --storage or smaller --data-size."
            )

    def _run(self, pending: list[Experiment], plan: SweepPlan) -> list[Failure]:
        # Baselines take seconds, and Ray is not there yet.
        backend = RayBackend(replace(self._resources, placement="process"))
        for experiment in baselines(self._name):
            self._keep(run_trial(experiment, self._setting, backend))
        if not pending:
            return []
        large = self._resources.is_large(plan.largest) or self._resources.workers > 1
        view = SweepView(
            self._console,
            pending,
            self._setting.storage,
            plan.estimates,
            plain=self._options.plain,
        )
        address, cpus = self._options.address, self._options.cpus
        with self._console.status("starting Ray"):
            session = ExitStack()
            session.enter_context(ray_session(address, num_cpus=cpus, dashboard=large))
        with session, view:
            return run_sweep(
                pending,
                self._setting,
                self._resources,
                listener=Keeper(view, lambda number, rows: self._take_in(pending[number], rows)),
                large=large,
                seconds=self._control.seconds_left(self._begun),
            )

    def _report(self, benchmarks: list[Benchmark]) -> None:
        """Print the tables, copy every picture's scores, draw the figures."""
        rows = pd.DataFrame(list(self._rows.values()))
        profile = DEFAULT_PROFILES[0]
        for benchmark in benchmarks:
            for table in sweep_tables(rows, benchmark.name, len(benchmark), profile):
                self._console.print(table)
        if self._table is not None:
            lines = paper_lines(rows[rows.metric_profile == profile], self._table, self._grid)
            self._console.print(paper_table(lines, self._table))
        images = self._results.with_name(f"{self._name}_images")
        write_image_scores(images, self._rows.values(), self._setting.storage)
        folder, first = self._results.with_name(f"{self._name}_figures"), benchmarks[0]
        device = self._resources.device
        figures = draw_sheets(folder, self._experiments, self._setting, device, first)
        chosen = rows[(rows.benchmark == first.name) & (rows.metric_profile == profile)]
        figures += draw_distances(folder, chosen, title=f"{self._name} on {first.name}")
        for experiment in self._experiments:
            self._write_events(experiment)
        say = self._console.print
        say(f"rows: {self._results}  (pandas.read_parquet reads the folder)", markup=False)
        say(f"scores of every picture: {images}", markup=False)
        for path in figures:
            say(f"figure: {path}", markup=False)
