"""The command line that all sweeps share: plan, run, table, figures."""

import argparse
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
from rich.console import Console

from gseg.commands.messages import earlier_failure, failure_line, left_line, run_told
from gseg.commands.options import chosen_axes, chosen_grids, chosen_setting, sweep_parser
from gseg.commands.points import PointsCommand, exit_status
from gseg.commands.sampling import check_samples
from gseg.distributed.backend import RayBackend
from gseg.distributed.view import TrialsView, format_seconds
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.failures import Failed, details_file, known_failure
from gseg.pipeline.plan import Costs, SweepPlan, make_plan
from gseg.pipeline.rows import Key, Row, fill_rows, key_of, known_scores, merge_rows
from gseg.pipeline.trial import Context, find_rows, run_trial
from gseg.recipes.grids import Axes, Grid
from gseg.recipes.tables import PaperTable
from gseg.recipes.trials import baselines
from gseg.reports.labels import experiment_labels
from gseg.reports.losses import write_trial_events
from gseg.reports.paper_tables import paper_benchmarks, paper_lines, paper_table
from gseg.reports.sweep import draw_distances, draw_sheets, write_image_scores
from gseg.reports.tables import sweep_tables
from gseg.scores.benchmarks import Benchmark
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.search.evaluate import SweepWork
from gseg.search.records import Record
from gseg.search.source import listed
from gseg.storage.mirror import describe, fetch
from gseg.storage.store import StorageError, Store

Recipe = Callable[[Grid, Axes], list[Experiment]]


def sweep_main(
    name: str,
    recipe: Recipe,
    description: str,
    arguments: list[str] | None = None,
    *,
    table: PaperTable | None = None,
) -> int:
    """Run a sweep from the command line.

    Args:
        name: Of the recipe; its results go to ``results/<name>/``.
        recipe: Makes the experiments.
        description: What ``--help`` says first.
        arguments: Command line; that of the process by default.
        table: The published table that the recipe is about: it chooses the generators, and with
            the paper's grid the benchmarks, unless the command line does.

    Returns:
        Exit status: 0 if all trials succeeded, 1 if some failed, 2 for wrong use, 3 if some are
        left at the end of --max-hours or --max-trials.
    """
    options = sweep_parser(description).parse(arguments)
    return run_told(lambda console: _Sweep(name, recipe, options, console, table).run())


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


class _Sweep(PointsCommand):
    """One run of a sweep command."""

    def __init__(
        self,
        name: str,
        recipe: Recipe,
        options: argparse.Namespace,
        console: Console,
        table: PaperTable | None = None,
    ) -> None:
        super().__init__(options, console)
        self._name, self._table, self._grid = name, table, chosen_grids(options)[0]
        self._experiments, self._setting = chosen_trials(recipe, options, table)
        self._results = options.results / name
        self._rows: dict[Key, Row] = {}
        self._failures: dict[Experiment, Failed] = {}

    def run(self) -> int:
        """Plan, run what is missing, print the table, draw the figures."""
        benchmarks = self._check()
        pending = [each for each in self._experiments if not self._find(each)]
        if not self._control.retry_failed:
            self._failures = self._failed_before(pending)
        chosen = [each for each in pending if each not in self._failures]
        chosen = chosen[: self._control.max_trials]
        plan = self._plan(chosen, self._baselines())
        self._print_plan(len(pending), chosen, plan)
        if self._options.dry_run:
            return exit_status(failed=False, left=False)
        self._run(chosen, plan)
        self._keep([])
        self._report(benchmarks)
        for experiment, failed in self._failures.items():
            line = failure_line(experiment, failed)
            self._console.print(line, style="red", markup=False, soft_wrap=True)
        left = self._left(pending)
        if left:
            estimates = self._plan(left).estimates
            self._console.print(left_line(left, estimates, self._control), soft_wrap=True)
        return exit_status(failed=bool(self._failures), left=bool(left))

    def _plan(self, experiments: list[Experiment], first: Costs | None = None) -> SweepPlan:
        return make_plan(experiments, self._setting, self._resources.device, first=first)

    def _baselines(self) -> Costs:
        """Find the scores of predictors without a network that are not there."""
        return self._plan(baselines(self._name)).missing

    def _failed_before(self, pending: list[Experiment]) -> dict[Experiment, Failed]:
        """Find the trials that would fail again by their own fault."""
        known = {each: known_failure(each, self._setting) for each in pending}
        return {each: earlier_failure(failed) for each, failed in known.items() if failed}

    def _left(self, pending: list[Experiment]) -> list[Experiment]:
        """Say which trials have neither finished nor failed."""
        done = {row["experiment"] for row in self._rows.values()}
        return [each for each in pending if each not in self._failures and each.digest not in done]

    def _check(self) -> list[Benchmark]:
        """Find out what would go wrong before any work starts; open the benchmarks."""
        opened = self._open(each.generator for each in self._experiments if each.generator)
        for experiment in self._experiments:
            check_samples(experiment)
        self._check_folders()
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
        for line in self._plan_lines(plan, len(chosen)):
            say(line)
        if self._options.dry_run:
            for label, seconds in zip(experiment_labels(chosen), plan.estimates, strict=True):
                say(f"  {label}: {format_seconds(seconds)}", markup=False)
        if plan.disk_bytes > Store(self._setting.storage).free_bytes():
            raise StorageError(
                f"The samples need {plan.disk_bytes / 2**30:.1f} GiB, but {self._setting.storage} "
                "has less space left. Choose another --storage or smaller --data-size."
            )

    def _run(self, pending: list[Experiment], plan: SweepPlan) -> None:
        # Baselines take seconds, and Ray is not there yet.
        backend = RayBackend(replace(self._resources, placement="process"))
        for experiment in baselines(self._name):
            self._keep(run_trial(experiment, self._setting, backend))
        if not pending:
            return
        work, labels = SweepWork(experiments=pending), experiment_labels(pending)
        view = TrialsView(
            self._console,
            len(pending),
            self._watched(work, lambda point: labels[point.number]),
            estimates=plan.estimates,
            plain=self._options.plain,
        )
        failed: dict[int, Record] = {}

        def keep(record: Record, rows: list[Row]) -> None:
            if record.state == "failed":
                failed[record.number] = record
                return
            self._keep(rows)
            self._write_events(pending[record.number])

        self._try(
            work,
            lambda at_once: listed(pending, at_once=at_once),
            view,
            keep,
            largest=plan.largest,
        )
        for number in sorted(failed):
            self._failures[pending[number]] = self._failed(pending[number], failed[number])

    def _failed(self, experiment: Experiment, record: Record) -> Failed:
        details = details_file(experiment, self._setting)
        told = str(details) if fetch(details, again=True) else ""
        return Failed(reason=record.reason, own_fault=record.own_fault, details=told)

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
