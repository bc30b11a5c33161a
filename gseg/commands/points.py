"""What the commands of sweeps and searches do alike: checks, the plan's lines, the run on Ray."""

import argparse
import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from gseg.commands.control import Control
from gseg.commands.messages import plan_lines, slots_here
from gseg.commands.options import chosen_resources
from gseg.distributed.actor import progress_file
from gseg.distributed.run import run_points
from gseg.distributed.runtime import Asha, ray_session, trials_at_once
from gseg.distributed.view import TrialsView, Watched
from gseg.generators.catalogue import use_weights
from gseg.generators.identity import weights_digest
from gseg.pipeline.plan import SweepPlan
from gseg.pipeline.rows import Row, known_scores
from gseg.pipeline.trial import Context
from gseg.scores.benchmarks import Benchmark, open_benchmark
from gseg.search.evaluate import Work
from gseg.search.records import Record
from gseg.search.source import ListedSource, Point
from gseg.storage.store import StorageError, Store


class PointsCommand:
    """One run of a command that tries points.

    Args:
        options: Of its command line.
        console: To print to.
    """

    _setting: Context
    _results: Path

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self._options, self._console, self._begun = options, console, time.monotonic()
        use_weights(options.weights)
        self._control, self._resources = Control.chosen(options), chosen_resources(options)

    def _open(self, generators: Iterable[str]) -> list[Benchmark]:
        """Open the benchmarks and make sure of the weights.

        Raises:
            ValueError: One cannot be opened, or two have the same name; weights are not there.
        """
        setting = self._setting
        opened = [open_benchmark(spec, skip_bad=setting.skip_bad) for spec in setting.benchmarks]
        names = [benchmark.name for benchmark in opened]
        if len(set(names)) < len(names):
            raise ValueError(f"Two benchmarks have the same name: {', '.join(sorted(names))}.")
        for name in dict.fromkeys(generators):
            weights_digest(name)
        return opened

    def _check_folders(self, *more: Path) -> None:
        """Make sure that storage, rows and other folders can be read and written."""
        dry = self._options.dry_run
        Store(self._setting.storage, read_only=dry).check()
        _check_results(self._results, read_only=dry)
        for folder in more:
            Store(folder, read_only=dry).check()

    def _plan_lines(self, plan: SweepPlan, points: int) -> list[str]:
        """Say what so many points take."""
        cpus = self._options.cpus or os.cpu_count() or 1
        here = self._options.address is None
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
        with self._console.status("starting Ray"):
            session = ExitStack()
            address, cpus = self._options.address, self._options.cpus
            session.enter_context(ray_session(address, num_cpus=cpus, dashboard=large))
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
                seconds=self._control.seconds_left(self._begun),
            )


def _check_results(folder: Path, *, read_only: bool) -> None:
    """Make sure that rows can be read and written.

    Raises:
        StorageError: They cannot be written.
        ValueError: Those that are there are damaged.
    """
    try:
        Store(folder, read_only).check()
    except StorageError as error:
        reason = getattr(error.__cause__, "strerror", None) or str(error)
        raise StorageError(f"Cannot write results to {folder}: {reason}.") from error
    known_scores(folder)


def exit_status(*, failed: bool, left: bool) -> int:
    """Give a command's exit status: 1 if points failed, 3 if some are left, else 0."""
    return 1 if failed else 3 if left else 0
