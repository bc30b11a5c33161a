"""What the commands of sweeps and searches do alike: checks, the plan's lines, the run on Ray."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from rich.console import Console

from gseg.commands.bars import reading_bar
from gseg.commands.options import SweepOptions
from gseg.distributed.actor import progress_file
from gseg.distributed.run import run_points
from gseg.distributed.runtime import Asha, Resources, trials_at_once
from gseg.distributed.session import ray_session
from gseg.distributed.view import TrialsView, Watched, format_seconds
from gseg.generators.catalogue import use_weights
from gseg.generators.weights import weights_digest
from gseg.pipeline.direction_trial import AnyTrial
from gseg.pipeline.experiment import Context
from gseg.pipeline.plan import SweepPlan
from gseg.pipeline.rows import Row, check_weights, heal_rows
from gseg.pipeline.trial import stage_words
from gseg.scores.benchmarks import Benchmark, open_benchmark
from gseg.search.evaluate import SweepWork, Work
from gseg.search.records import Record
from gseg.search.source import ListedSource, Point, listed
from gseg.storage.files import format_bytes
from gseg.storage.mirror import StorageError
from gseg.storage.store import Store


class PointsCommand:
    """One run of a command that tries points.

    Args:
        options: Of its command line.
        console: To print to.
    """

    _setting: Context
    _results: Path

    def __init__(self, options: SweepOptions, console: Console) -> None:
        self._options, self._console, self._begun = options, console, time.monotonic()
        self._control, self._resources = options.control, options.resources
        self._dry_run = options.running.dry_run
        self._weights: dict[str, str] = {}
        options.check_resources()
        use_weights(options.places.weights)

    def _open(self, generators: Iterable[str]) -> list[Benchmark]:
        """Open the benchmarks and make sure of the weights.

        Raises:
            ValueError: One cannot be opened, or two have the same pictures; weights are not there.
        """
        setting = self._setting
        with reading_bar() as progress:
            opened = [
                open_benchmark(spec, skip_bad=setting.skip_bad, progress=progress)
                for spec in setting.benchmarks
            ]
        identities = [benchmark.identity for benchmark in opened]
        if len(set(identities)) < len(identities):
            names = ", ".join(sorted(setting.benchmarks))
            raise ValueError(f"Two benchmarks have the same pictures and masks: {names}.")
        # Trials stop if files change meanwhile; scenes cannot.
        planned = tuple(each.identity if each.from_files else "" for each in opened)
        self._setting = replace(setting, identities=planned)
        self._weights = {name: weights_digest(name) for name in dict.fromkeys(generators)}
        return opened

    def _tell_files(self, benchmarks: Iterable[Benchmark], more: Iterable[str] = ()) -> None:
        """Say how files were read and which were left out, once there is nothing to refuse."""
        notes = chain.from_iterable(benchmark.notes for benchmark in benchmarks)
        for line in dict.fromkeys((*notes, *more)):
            self._console.print(line)

    def _check_folders(self, *more: Path) -> None:
        """Make sure that storage, rows and other folders can be read and written.

        Raises:
            StorageError: They cannot.
            ValueError: The rows there are of other weights with the same names.
        """
        Store(self._setting.storage, read_only=self._dry_run).check()
        try:
            Store(self._results, self._dry_run).check()
        except StorageError as error:
            reason = getattr(error.__cause__, "strerror", None) or str(error)
            raise StorageError(f"Cannot write results to {self._results}: {reason}.") from error
        heal_rows(self._results, read_only=self._dry_run)
        check_weights(self._results, self._weights)
        for folder in more:
            Store(folder, read_only=self._dry_run).check()

    def _plan_lines(self, plan: SweepPlan, points: int) -> list[str]:
        """Say what so many points take."""
        cpus = self._options.running.cpus or os.cpu_count() or 1
        # A cluster may grow, so nobody knows how many run at a time there.
        here = self._options.running.address is None
        slots = slots_here(self._resources, cpus, points) if here else None
        return plan_lines(plan, self._resources.device, slots)

    def _watched(self, work: Work, label: Callable[[Point], str]) -> Callable[[Point], Watched]:
        """Say how people see points."""
        storage = self._setting.storage
        return lambda point: Watched(label(point), progress_file(storage, work.name_of(point)))

    def _try(
        self,
        work: Work,
        source_of: Callable[[int], ListedSource],
        view: TrialsView,
        keep: Callable[[Record, list[Row]], None],
        *,
        largest: float,
        asha: Asha | None = None,
    ) -> None:
        """Try points on Ray.

        Args:
            work: What they mean.
            source_of: Gives their source, for so many at the same time.
            view: Shows them.
            keep: Keeps what came of one as soon as it has ended.
            largest: Seconds of the longest stage.
            asha: How points are stopped early.
        """
        large = self._resources.is_large(largest) or self._resources.workers > 1
        running, hours = self._options.running, self._control.max_hours
        with self._console.status("starting Ray"):
            session = ExitStack()
            session.enter_context(
                ray_session(running.address, num_cpus=running.cpus, dashboard=large)
            )
        left = None if hours is None else hours * 3600 - (time.monotonic() - self._begun)
        with session, view:
            run_points(
                work,
                source_of(trials_at_once(self._resources, large=large)),
                self._setting,
                self._resources,
                listener=view,
                keep=keep,
                large=large,
                asha=asha,
                seconds=None if left is None else max(left, 0.0),
            )

    def _try_trials(
        self,
        trials: Sequence[AnyTrial],
        labels: Sequence[str],
        plan: SweepPlan,
        keep: Callable[[Record, list[Row]], None],
    ) -> None:
        """Try trials in this order, by their labels; see `_try`."""
        work = SweepWork(trials=trials)
        view = TrialsView(
            self._console,
            len(trials),
            self._watched(work, lambda point: labels[point.number]),
            estimates=plan.estimates,
            plain=self._options.running.plain,
        )
        self._try(
            work,
            lambda at_once: listed(trials, at_once=at_once),
            view,
            keep,
            largest=plan.largest,
        )


def plan_lines(plan: SweepPlan, device: str, slots: int | None) -> list[str]:
    """Say what will be done, and what it takes.

    Args:
        plan: Of the trials to run.
        device: Kind of device of their stages.
        slots: Trials that run at the same time on this machine; None where nobody knows.

    Returns:
        A line about stages, one about time, GPUs and disk.
    """
    kinds = sorted(plan.stages.items(), key=lambda item: item[0] == "scores")  # they come last
    told = stage_words()
    words = {told.get(kind, kind): count for kind, count in kinds}
    stages = ", ".join(
        f"{count} {word}s" if count != 1 else f"1 {word}" for word, count in words.items()
    )
    seconds = format_seconds(plan.seconds)
    if device == "cuda":
        said = [f"{plan.seconds / 3600:,.2f} GPU-hours ({seconds} of GPU time)"]
    else:
        said = [f"{seconds} of one-thread time", "no GPU-hours"]
    if slots is not None and plan.estimates:
        wall = max(plan.seconds / slots, *plan.estimates)
        said.insert(1, f"about {format_seconds(wall)} with {slots} at a time")
    distinct = sum(plan.stages.values())
    return [
        f"to do: {stages}: {distinct} stages, {plan.naive_stages} if nothing were shared",
        f"estimate: {', '.join(said)}, {format_bytes(plan.disk_bytes)} of samples",
    ]


def slots_here(resources: Resources, cpus: int, trials: int) -> int:
    """Say how many of so many trials run at the same time on this machine."""
    fits = int(cpus / resources.cpus_per_trial)
    if resources.gpus_per_trial:
        fits = min(fits, int(torch.cuda.device_count() / resources.gpus_per_trial))
    return max(1, min(resources.concurrency or fits, trials))


def exit_status(*, failed: bool, left: bool) -> int:
    """Give a command's exit status: 1 if points failed, 3 if some are left, else 0."""
    return 1 if failed else 3 if left else 0
