"""A sweep of a recipe's trials: plan, run, tables, figures."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import pandas as pd
from rich.console import Console

from gseg.commands.bars import reading_bar
from gseg.commands.given import no_effect
from gseg.commands.options import SweepOptions, check_samples
from gseg.commands.points import PointsCommand, exit_status
from gseg.distributed.backend import RayBackend
from gseg.distributed.view import format_seconds
from gseg.pipeline.direction_trial import AnyTrial, DirectionTrial
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.failures import Failed, details_file, known_failure
from gseg.pipeline.plan import Costs, SweepPlan, make_plan
from gseg.pipeline.row_values import Found
from gseg.pipeline.rows import Key, Row, fill_rows, key_of, known_scores, merge_rows
from gseg.pipeline.settings import axes as settings
from gseg.pipeline.trial import find_parts, find_rows, run_trial
from gseg.recipes.grids import Axes, Grid
from gseg.recipes.recipe import Recipe
from gseg.recipes.trials import baselines
from gseg.reports.losses import write_trial_events
from gseg.reports.paper_tables import paper_benchmarks, paper_lines, paper_table
from gseg.reports.settings import tell_sets_apart
from gseg.reports.sweep import draw_distances, draw_sheets, trial_labels, write_image_scores
from gseg.reports.tables import masks_line, sweep_tables
from gseg.scores.benchmarks import Benchmark
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.search.records import Record
from gseg.storage.files import DiskFullError, format_bytes, replacing
from gseg.storage.mirror import describe, fetch
from gseg.storage.store import Store


class Sweep(PointsCommand):
    """One run of a recipe whose trials end with scores.

    Args:
        recipe: What is run.
        options: Of the command line.
        console: To print to.

    Attributes:
        experiments: Its trials.
    """

    def __init__(self, recipe: Recipe, options: SweepOptions, console: Console) -> None:
        super().__init__(options, console)
        self._name, self._table = recipe.name, recipe.table
        found, self._grid = recipe_trials(recipe, options)
        self.experiments = [each for each in found if isinstance(each, Experiment)]
        benchmarks: tuple[str, ...] = ("scenes",)
        if options.preset == "paper":
            table = paper_benchmarks(recipe.table) if recipe.table else ()
            benchmarks = recipe.benchmarks or table or benchmarks
        self._setting = options.context(default=benchmarks)
        self._results = options.places.results / recipe.name
        self._rows: dict[Key, Row] = {}
        self._failures: dict[Experiment, Failed] = {}

    @property
    def setting(self) -> Context:
        """What its trials have in common."""
        return self._setting

    def run(self) -> int:
        """Plan, run what is missing, print the table, draw the figures."""
        benchmarks = self._check()
        pending = [each for each in self.experiments if not self._find(each)]
        if not self._control.retry_failed:
            self._failures = self._failed_before(pending)
        chosen = [each for each in pending if each not in self._failures]
        chosen = chosen[: self._control.max_trials]
        before = self._plan(baselines(self._name))  # predictors without a network
        plan = self._plan(chosen, before.missing)
        plan = replace(plan, scored_again=plan.scored_again + before.scored_again)
        self._print_plan(len(pending), chosen, plan)
        if self._dry_run:
            return exit_status(failed=False, left=False)
        self._run(chosen, plan)
        self._keep([])
        self._report(benchmarks)
        for experiment, failed in self._failures.items():
            details = f" (details: {failed.details})" if failed.details else ""
            self._console.print(
                f"failed: {experiment.label}: {failed.reason}{details}", style="red"
            )
        left = self._left(pending)
        if left:
            trials = f"{len(left)} trial{'s are' if len(left) != 1 else ' is'} left"
            seconds = format_seconds(sum(self._plan(left).estimates))
            self._console.print(
                f"{trials} ({self._control.limits}), estimated at {seconds}: the same command goes "
                "on with them"
            )
        return exit_status(failed=bool(self._failures), left=bool(left))

    def _plan(self, experiments: list[Experiment], first: Costs | None = None) -> SweepPlan:
        return make_plan(experiments, self._setting, self._resources.device, first=first)

    def _failed_before(self, pending: list[Experiment]) -> dict[Experiment, Failed]:
        """Find the trials that would fail again by their own fault."""
        known = {each: known_failure(each, self._setting) for each in pending}
        again = "(an earlier run; --retry-failed runs it again)"
        return {
            each: replace(failed, reason=f"{failed.reason} {again}")
            for each, failed in known.items()
            if failed
        }

    def _left(self, pending: list[Experiment]) -> list[Experiment]:
        """Say which trials have neither finished nor failed."""
        done = {row["experiment"] for row in self._rows.values()}
        return [each for each in pending if each not in self._failures and each.digest not in done]

    def _check(self) -> list[Benchmark]:
        """Find out what would go wrong before any work starts; open the benchmarks."""
        say = self._console.print
        opened = self._open(each.generator for each in self.experiments if each.generator)
        with reading_bar() as progress:
            checked = [check_samples(each, opened, progress) for each in self.experiments]
        self._check_folders()
        self._tell_files(opened, chain.from_iterable(checked))
        for benchmark in opened:
            for line in benchmark.bad:
                say(f"skipped: {line}")
            total = len(benchmark)
            if again := total - len({benchmark.content(index) for index in range(total)}):
                say(f"{benchmark.name}: {again:,} of its {total:,} pictures are there twice")
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
        fill_rows(self._results, self._rows.values())
        known = known_scores(self._results)
        fresh = [row for key, row in self._rows.items() if known.get(key) != row["scores"]]
        if fresh:
            merge_rows(self._results, fresh)

    def _write_events(self, experiment: Experiment) -> None:
        """Write the curves of a finished trial for TensorBoard, if asked to."""
        if self._options.places.tensorboard is not None:
            device = self._resources.device
            write_trial_events(self._options.places.tensorboard, experiment, self._setting, device)

    def _print_plan(self, pending: int, chosen: list[Experiment], plan: SweepPlan) -> None:
        say = self._console.print
        total = len(self.experiments)
        done = total - pending
        where = describe(self._setting.storage)
        say(f"{self._name}: {total} trials, {done} of them finished in {where}")
        if not chosen:
            return
        if len(chosen) < pending:
            say(f"now: {len(chosen)} of the {pending} others (see --max-trials, --retry-failed)")
        for line in self._plan_lines(plan, len(chosen)):
            say(line)
        if plan.scored_again:
            are = "scoring is" if plan.scored_again == 1 else "scorings are"
            why = "what names a set of pictures is its content now"
            say(f"{plan.scored_again} {are} made again: {why}")
        if self._dry_run:
            for label, seconds in zip(trial_labels(chosen), plan.estimates, strict=True):
                say(f"  {label}: {format_seconds(seconds)}")
        free = Store(self._setting.storage).free_bytes()
        if plan.disk_bytes > free:
            raise DiskFullError(
                f"The samples need {format_bytes(plan.disk_bytes)}, but the disk of "
                f"{self._setting.storage} has {format_bytes(free)} left. Make room there, or "
                "choose another --storage or a smaller --data-size."
            )

    def _run(self, pending: list[Experiment], plan: SweepPlan) -> None:
        # Baselines take seconds, and Ray is not there yet.
        backend = RayBackend(replace(self._resources, placement="process"))
        for experiment in baselines(self._name):
            self._keep(run_trial(experiment, self._setting, backend))
        if not pending:
            return
        labels = trial_labels(pending)
        failed: dict[int, Record] = {}

        def keep(record: Record, rows: list[Row]) -> None:
            if record.state == "failed":
                failed[record.number] = record
                return
            self._keep(rows)
            self._write_events(pending[record.number])

        self._try_trials(pending, labels, plan, keep)
        for number in sorted(failed):
            self._failures[pending[number]] = self._failed(pending[number], failed[number])

    def _failed(self, experiment: Experiment, record: Record) -> Failed:
        details = details_file(experiment, self._setting)
        told = str(details) if fetch(details, again=True) else ""
        return Failed(reason=record.reason, own_fault=record.own_fault, details=told)

    def _report(self, benchmarks: list[Benchmark]) -> None:
        """Print the tables, copy every picture's scores, draw the figures."""
        rows = tell_sets_apart(pd.DataFrame(list(self._rows.values())))
        profile = DEFAULT_PROFILES[0]
        names = dict(zip(rows.benchmark_digest, rows.benchmark, strict=True))
        names = {each: names.get(each.digest, each.name) for each in benchmarks}
        for benchmark, name in names.items():
            for table in sweep_tables(rows, name, len(benchmark), profile):
                self._console.print(table)
            if line := masks_line(rows, name):
                self._console.print(line)
        if self._table is not None:
            lines = paper_lines(rows[rows.metric_profile == profile], self._table, self._grid)
            self._console.print(paper_table(lines, self._table))
        images = self._results.with_name(f"{self._name}_images")
        write_image_scores(images, self._rows.values(), self._setting.storage)
        folder, first = self._results.with_name(f"{self._name}_figures"), benchmarks[0]
        device = self._resources.device
        figures = draw_sheets(folder, self.experiments, self._setting, device, first)
        chosen = rows[(rows.benchmark == names[first]) & (rows.metric_profile == profile)]
        figures += draw_distances(folder, chosen, title=f"{self._name} on {names[first]}")
        for experiment in self.experiments:
            self._write_events(experiment)
        say = self._console.print
        say(f"rows: {self._results}  (pandas.read_parquet reads the folder)")
        say(f"scores of every picture: {images}")
        for path in figures:
            say(f"figure: {path}")


def recipe_trials(recipe: Recipe, options: SweepOptions) -> tuple[list[AnyTrial], Grid]:
    """Make a recipe's trials, each once; what the options leave open is the recipe's.

    Returns:
        The trials, and the grid of the first ones.

    Raises:
        ValueError: A generator is unknown, or a value out of range.
    """
    axes = dict(options.varied(default=recipe.generators))
    if recipe.runs and "seed" not in axes:
        axes["seed"] = range(recipe.runs.get(options.preset, 1))
    grids = options.grids(axes)
    found = list(dict.fromkeys(each for grid in grids for each in recipe.trials(grid, axes)))
    check_axes(options.varied(), found, f"on {recipe.name}")
    return found, grids[0]


def check_axes(axes: Axes, trials: Sequence[AnyTrial], lacking: str) -> None:
    """Make sure that each value of what was to be varied is that of a trial.

    Args:
        axes: What was to be varied.
        trials: What came of it.
        lacking: Where a value that is no trial's has no effect.

    Raises:
        ValueError: There is such a value.
    """
    for name, values in axes.items():
        setting = settings()[name]
        # Of a trial that ends with a direction, the seed is that of its search.
        taken = {setting.value(each) for each in trials}
        taken |= {each.search.seed for each in trials if setting.is_seed and each.search}
        idle = next((each for each in values if each not in taken), None)
        if idle is not None:
            instead = "add --direction voynov2021" if name == "candidates" else ""
            raise ValueError(no_effect([f"{setting.flag} {idle}"], lacking, instead))


class DirectionSweep(PointsCommand):
    """One run of a recipe whose trials end with a direction.

    Args:
        recipe: What is run; its rows go to ``results/<name>/``.
        options: Of the command line.
        console: To print to.
    """

    def __init__(self, recipe: Recipe, options: SweepOptions, console: Console) -> None:
        super().__init__(options, console)
        self._name = recipe.name
        found, _ = recipe_trials(recipe, options)
        self._trials = [each for each in found if isinstance(each, DirectionTrial)]
        self._setting = options.context()
        self._results = options.places.results / recipe.name
        self._failures: list[str] = []

    def run(self) -> int:
        """Plan, search what is missing, print and draw what the recipe is about."""
        opened = self._open(each.generator for each in self._trials)
        self._check_folders()
        self._tell_files(opened)
        device, say = self._resources.device, self._console.print
        missing = [each for each in self._trials if find_rows(each, self._setting, device) is None]
        pending = missing[: self._control.max_trials]
        plan = make_plan(pending, self._setting, device)
        total, where = len(self._trials), describe(self._setting.storage)
        say(f"{self._name}: {total} directions, {total - len(missing)} of them found in {where}")
        for line in self._plan_lines(plan, len(pending)) if pending else ():
            say(line)
        if self._dry_run:
            for label, seconds in zip(trial_labels(pending), plan.estimates, strict=True):
                say(f"  {label}: {format_seconds(seconds)}")
            return exit_status(failed=False, left=False)
        if pending:
            self._search(pending, plan)
        for line in self._failures:
            say(line, style="red")
        found = [
            Found(trial=each, artifact=parts.direction)
            for each in self._trials
            if (parts := find_parts(each, self._setting, device)) and parts.direction
        ]
        # Pairs, means and sheets are of all directions: of some they would say something else.
        if len(found) == total:
            self._end(found)
        return exit_status(failed=bool(self._failures), left=len(found) < total)

    def _search(self, pending: list[DirectionTrial], plan: SweepPlan) -> None:
        labels = trial_labels(pending)

        def keep(record: Record, _: list[Row]) -> None:
            if record.state == "failed":
                self._failures.append(f"failed: {labels[record.number]}: {record.reason}")

        self._try_trials(pending, labels, plan, keep)

    def _end(self, found: list[Found]) -> None:
        from gseg.commands.endings import DIRECTION_ENDINGS, own_rows

        end = DIRECTION_ENDINGS.get(self._name, own_rows)
        rows = end(found, self._options, self._console)
        if rows is None:
            return
        with replacing(self._results / "rows.parquet") as part:
            rows.to_parquet(part, index=False)
        self._console.print(f"rows: {self._results}  (pandas.read_parquet reads the folder)")
