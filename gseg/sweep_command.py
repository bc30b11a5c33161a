"""The command line that all sweeps share: options, plan, run, table, figures."""

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, NoReturn, get_args

import pandas as pd
from rich.console import Console

from gseg.artifacts import StorageError, Store, replacing
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Placement, Resources, ray_session
from gseg.distributed.sweep import Failure, Listener, run_sweep
from gseg.distributed.view import SweepView, format_seconds
from gseg.experiment import MASK_KINDS, Experiment
from gseg.generators import list_generators
from gseg.generators.identity import weights_digest
from gseg.plan import SweepPlan, make_plan
from gseg.recipes import Axes, Grid, baselines, grids
from gseg.reports import distance_figure, summary, summary_table, trial_sheet
from gseg.rows import KEY, Row, merge_rows, read_rows
from gseg.scores.batches import EvalProtocol
from gseg.scores.benchmarks import open_benchmark
from gseg.scores.protocol import DEFAULT_PROFILES
from gseg.trial import Setting, find_parts, find_rows, run_trial

Recipe = Callable[[Grid, Axes], list[Experiment]]

_SUCCESS, _SOME_FAILED, _WRONG_USE = 0, 1, 2
_KINDS: Final = ("embedded", "published", "all")


class Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest option, in one line."""

    def parse_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def,override] # noqa: ANN001, ANN201
        """Parse; see `argparse.ArgumentParser.parse_args`."""
        known, rest = self.parse_known_args(args, namespace)
        if rest:
            options = [name for action in self._actions for name in action.option_strings]
            near = difflib.get_close_matches(rest[0].partition("=")[0], options, n=1, cutoff=0.4)
            hint = f"; did you mean {near[0]}?" if near else "; see --help."
            self.error(f"unknown option {rest[0]}{hint}")
        return known

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave."""
        self.exit(_WRONG_USE, f"{self.prog}: {message}\n")


def sweep_main(
    name: str, recipe: Recipe, description: str, arguments: list[str] | None = None
) -> int:
    """Run a sweep from the command line.

    Args:
        name: Of the recipe; its results go to ``results/<name>/``.
        recipe: Makes the experiments.
        description: What ``--help`` says first.
        arguments: Command line; that of the process by default.

    Returns:
        Exit status: 0 if all trials succeeded, 1 if some failed, 2 for wrong use.
    """
    options = _parser(description).parse_args(arguments)
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    try:
        return _Sweep(name, recipe, options, console).run()
    except (ValueError, StorageError) as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False, soft_wrap=True)
        return _WRONG_USE
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on from here.")
        return 130


def _parser(description: str) -> Parser:
    parser = Parser(description=description, allow_abbrev=False)
    what = parser.add_argument_group("what to run")
    what.add_argument(
        "--generators",
        nargs="+",
        default=["embedded"],
        metavar="NAME",
        help="catalogue names, or: embedded (ship with gseg), published (public checkpoints, "
        "which need --weights), all. Default: embedded",
    )
    what.add_argument(
        "--grid",
        choices=list(grids()),
        default="embedded",
        help="settings of all stages: embedded (minutes on a laptop), paper (the published "
        "settings), smoke (seconds, to see that everything works). Default: embedded",
    )
    what.add_argument(
        "--contrast-weight",
        nargs="+",
        type=float,
        default=[],
        metavar="λ",
        help="weights λ > 0 of the contrast loss in the search for a direction",
    )
    what.add_argument(
        "--epsilon",
        nargs="+",
        type=float,
        default=[],
        metavar="ε",
        help="lengths ε > 0 of the latent shift, in the search and for the masks",
    )
    what.add_argument(
        "--data-size",
        nargs="+",
        type=int,
        default=[],
        metavar="N",
        help="numbers of accepted samples to train segmenters on",
    )
    what.add_argument(
        "--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="trial seeds. Default: 0"
    )
    what.add_argument(
        "--mask-kind",
        nargs="+",
        choices=MASK_KINDS,
        default=["lighter"],
        help="what masks are made from: the lighter or darker direction (Eq. 3), both (Eq. 2), an "
        "ensemble of two networks, or the shifted picture's mean. Default: lighter",
    )
    score = parser.add_argument_group("what to score on")
    score.add_argument(
        "--benchmark",
        nargs="+",
        default=["scenes"],
        metavar="NAME",
        help="scenes, scenes:COUNT (held-out embedded pictures), or folder:PATH (a folder with "
        "images/ and masks/, paired by file name). Default: scenes",
    )
    score.add_argument(
        "--eval-protocol",
        choices=get_args(EvalProtocol),
        default="text",
        help="where scores are taken: at the segmenter's size (text) or at the mask's own "
        "(melas_program). Default: text",
    )
    score.add_argument(
        "--skip-bad", action="store_true", help="leave out files that cannot be read, and list them"
    )
    where = parser.add_argument_group("where things are")
    where.add_argument(
        "--weights", type=Path, metavar="DIR", help="folder of published weights (GSEG_WEIGHTS)"
    )
    where.add_argument(
        "--storage",
        type=Path,
        default=Path("storage"),
        metavar="DIR",
        help="folder of everything that is made, found again by the next run. Default: ./storage",
    )
    where.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="folder of the Parquet rows and figures. Default: ./results",
    )
    run = parser.add_argument_group("how to run")
    run.add_argument(
        "--address", help="a running Ray cluster, or auto; without it Ray starts on this machine"
    )
    run.add_argument("--cpus", type=int, help="CPUs of the Ray that starts here. Default: all")
    run.add_argument(
        "--placement",
        choices=get_args(Placement),
        default="auto",
        help="where stages run: in each trial's process, as distributed jobs on the cluster, or "
        "auto, which takes the cluster for stages of more than five minutes",
    )
    run.add_argument(
        "--workers", type=int, default=1, metavar="N", help="replicas of one training. Default: 1"
    )
    run.add_argument(
        "--drawers", type=int, default=0, metavar="N", help="actors that draw for one trial"
    )
    run.add_argument(
        "--gpus-per-trial",
        type=float,
        default=0.0,
        metavar="G",
        help="GPUs of a trial, a drawing actor or a replica; fractions share one. Default: 0",
    )
    run.add_argument(
        "--max-trials", type=int, default=0, metavar="N", help="trials at the same time"
    )
    run.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    run.add_argument("--plain", action="store_true", help="print lines instead of a live view")
    return parser


class _Sweep:
    """One run of a sweep command."""

    def __init__(
        self, name: str, recipe: Recipe, options: argparse.Namespace, console: Console
    ) -> None:
        self._name, self._options, self._console = name, options, console
        if options.weights is not None:
            os.environ["GSEG_WEIGHTS"] = str(options.weights.absolute())
        self._resources = Resources(
            placement=options.placement,
            workers=options.workers,
            drawers=options.drawers,
            gpus_per_trial=options.gpus_per_trial,
            max_trials=options.max_trials,
        )
        self._setting = Setting(
            storage=options.storage.absolute(),
            benchmarks=tuple(_absolute(spec) for spec in options.benchmark),
            eval_protocol=options.eval_protocol,
            skip_bad=options.skip_bad,
        )
        self._experiments = recipe(_chosen_grid(options), _chosen_axes(options))
        self._baselines = baselines(name)
        self._rows_folder: Path = options.results / name
        self._rows: dict[tuple[object, ...], Row] = {}

    def run(self) -> int:
        """Plan, run what is missing, print the table, draw the figures."""
        self._check()
        pending = [each for each in self._experiments if not self._find(each)]
        plan = self._plan(pending)
        self._print_plan(pending, plan)
        if self._options.dry_run:
            return _SUCCESS
        failures = self._run(pending, plan)
        self._keep([])
        self._report()
        for failure in failures:
            details = f" (details: {failure.details})" if failure.details else ""
            self._console.print(
                f"failed: {failure.experiment.label}: {failure.reason}{details}",
                style="red",
                markup=False,
                soft_wrap=True,
            )
        return _SOME_FAILED if failures else _SUCCESS

    def _check(self) -> None:
        """Find out what would go wrong before any work starts."""
        Store(self._setting.storage).check()
        Store(self._options.results.absolute()).check()
        for name in dict.fromkeys(each.generator for each in self._experiments if each.generator):
            weights_digest(name)
        opened = [
            open_benchmark(spec, skip_bad=self._setting.skip_bad)
            for spec in self._setting.benchmarks
        ]
        names = [benchmark.name for benchmark in opened]
        if len(set(names)) < len(names):
            raise ValueError(f"Two benchmarks have the same name: {', '.join(sorted(names))}.")
        self._benchmarks = opened
        for benchmark in opened:
            for line in benchmark.bad:
                self._console.print(f"skipped: {line}", markup=False, soft_wrap=True)

    def _find(self, experiment: Experiment) -> bool:
        rows = find_rows(experiment, self._setting, self._resources.device)
        if rows is not None:
            self._take(rows)
        return rows is not None

    def _take(self, rows: list[Row]) -> None:
        self._rows.update({tuple(row[name] for name in KEY): row for row in rows})

    def _keep(self, rows: list[Row]) -> None:
        """Write new rows to the results; a row whose scores are there already stays as it is."""
        self._take(rows)
        known = {
            tuple(row[name] for name in KEY): row["scores"] for row in read_rows(self._rows_folder)
        }
        fresh = [row for key, row in self._rows.items() if known.get(key) != row["scores"]]
        if fresh:
            merge_rows(self._rows_folder, fresh)

    def _plan(self, pending: list[Experiment]) -> SweepPlan:
        pictures = sum(len(benchmark) for benchmark in self._benchmarks)
        return make_plan(pending, pictures, None, self._resources.device)

    def _print_plan(self, pending: list[Experiment], plan: SweepPlan) -> None:
        say = self._console.print
        total = len(self._experiments)
        done = total - len(pending)
        say(f"{self._name}: {total} trials, {done} of them finished in {self._setting.storage}")
        if not pending:
            return
        stages = ", ".join(
            f"{count} {kind}s" if count != 1 else f"1 {kind}" for kind, count in plan.stages.items()
        )
        distinct = sum(plan.stages.values())
        say(f"to do: {stages}: {distinct} stages, {plan.naive_stages} if nothing were shared")
        unit = "GPU" if self._resources.gpus_per_trial else "one-thread"
        say(
            f"estimate: {format_seconds(plan.seconds)} of {unit} time, "
            f"{plan.disk_bytes / 2**20:,.0f} MiB of samples"
        )
        if self._options.dry_run:
            for experiment, seconds in zip(pending, plan.estimates, strict=True):
                say(f"  {experiment.label}: {format_seconds(seconds)}")
        if plan.disk_bytes > Store(self._setting.storage).free_bytes():
            raise StorageError(
                f"The samples need {plan.disk_bytes / 2**30:.1f} GiB, but {self._setting.storage} "
                "has less space left. Choose another --storage or smaller --data-size."
            )

    def _run(self, pending: list[Experiment], plan: SweepPlan) -> list[Failure]:
        backend = RayBackend(self._resources)
        for experiment in self._baselines:
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
                listener=_Keeper(view, self._keep),
                large=large,
            )

    def _report(self) -> None:
        """Print the tables and draw the figures."""
        rows = pd.DataFrame(list(self._rows.values()))
        profile = DEFAULT_PROFILES[0]
        for benchmark in self._benchmarks:
            title = f"{benchmark.name}: {len(benchmark):,} pictures, profile {profile}"
            lines = summary(rows, benchmark.name, profile)
            self._console.print(summary_table(lines, title))
        figures = self._figures(rows[rows.metric_profile == profile])
        self._console.print(f"rows: {self._rows_folder}  (pandas.read_parquet reads the folder)")
        images = self._per_image_scores()
        self._console.print(f"scores of every picture: {images}")
        for path in figures:
            self._console.print(f"figure: {path}")

    def _per_image_scores(self) -> Path:
        folder = self._options.results / f"{self._name}_images"
        for row in self._rows.values():
            path = folder / f"{row['experiment']}-{row['scores']}.parquet"
            if path.exists():
                continue
            source = Store(self._setting.storage).folder("scores", str(row["scores"]))
            table = pd.read_parquet(source / "images.parquet")
            table.insert(0, "benchmark", row["benchmark"])
            table.insert(0, "experiment", row["experiment"])
            with replacing(path) as part:
                table.to_parquet(part, index=False)
        return folder

    def _figures(self, rows: pd.DataFrame) -> list[Path]:
        folder = self._options.results / f"{self._name}_figures"
        paths = []
        for experiment in _one_for_each_generator(self._experiments):
            parts = find_parts(experiment, self._setting, self._resources.device)
            if parts is None:
                continue
            path = folder / f"{experiment.generator}.png"
            trial_sheet(path, experiment, parts, self._benchmarks[0])
            paths.append(path)
        measured = rows[(rows.benchmark == self._benchmarks[0].name) & rows.fid.notna()]
        if len(measured):
            path = folder / "distance.png"
            distance_figure(path, measured, title=f"{self._name} on {self._benchmarks[0].name}")
            paths.append(path)
        return paths


class _Keeper(Listener):
    """Writes every finished trial's rows, and passes events on to the view."""

    def __init__(self, view: SweepView, keep: Callable[[list[Row]], None]) -> None:
        self._view, self._keep = view, keep

    def started(self, number: int) -> None:
        self._view.started(number)

    def finished(self, number: int, rows: list[Row]) -> None:
        self._keep(rows)
        self._view.finished(number, rows)

    def failed(self, failure: Failure, number: int) -> None:
        self._view.failed(failure, number)


def _chosen_grid(options: argparse.Namespace) -> Grid:
    grid = grids()[options.grid]
    return replace(grid, training=replace(grid.training, replicas=options.workers))


def _chosen_axes(options: argparse.Namespace) -> Axes:
    names: list[str] = []
    for word in options.generators:
        names += [card.name for card in list_generators(word)] if word in _KINDS else [word]
    known = [card.name for card in list_generators()]
    for name in names:
        if name not in known and not name.startswith("analytic."):
            near = difflib.get_close_matches(name, [*known, *_KINDS], n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ValueError(f"Unknown generator {name!r}{hint} There are {', '.join(known)}.")
    return Axes(
        generators=tuple(dict.fromkeys(names)),
        contrast_weights=tuple(options.contrast_weight),
        epsilons=tuple(options.epsilon),
        data_sizes=tuple(options.data_size),
        mask_kinds=tuple(options.mask_kind),
        seeds=tuple(options.seeds),
    )


def _absolute(spec: str) -> str:
    """Make a folder's path independent of the working folder of whoever opens it."""
    kind, _, rest = spec.partition(":")
    return f"folder:{Path(rest).expanduser().absolute()}" if kind == "folder" and rest else spec


def _one_for_each_generator(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The first experiment of each generator, which has the most data."""
    first: dict[str, Experiment] = {}
    for experiment in experiments:
        if experiment.method == "gan":
            first.setdefault(experiment.generator, experiment)
    return list(first.values())
