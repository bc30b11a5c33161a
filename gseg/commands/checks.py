"""What a sweep makes sure of before any work, and what it keeps of each trial that ends."""

from collections.abc import Callable
from pathlib import Path

from gseg.distributed.sweep import Failure, Listener
from gseg.distributed.view import SweepView
from gseg.pipeline.rows import Row, known_scores
from gseg.pipeline.trial import Context
from gseg.scores.benchmarks import Benchmark, open_benchmark
from gseg.storage.store import StorageError, Store


class Keeper(Listener):
    """Writes every finished trial's rows, and passes events on to the view."""

    def __init__(self, view: SweepView, keep: Callable[[int, list[Row]], None]) -> None:
        self._view, self._keep = view, keep

    def started(self, number: int) -> None:
        """Tell the view."""
        self._view.started(number)

    def finished(self, number: int, rows: list[Row]) -> None:
        """Tell the view after writing the rows."""
        self._keep(number, rows)
        self._view.finished(number, rows)

    def failed(self, failure: Failure, number: int) -> None:
        """Tell the view."""
        self._view.failed(failure, number)

    def retried(self, number: int, attempt: int, reason: str) -> None:
        """Tell the view."""
        self._view.retried(number, attempt, reason)


def open_benchmarks(setting: Context) -> list[Benchmark]:
    """Open the benchmarks of a sweep.

    Raises:
        ValueError: One cannot be opened, or two have the same name.
    """
    opened = [open_benchmark(spec, skip_bad=setting.skip_bad) for spec in setting.benchmarks]
    names = [benchmark.name for benchmark in opened]
    if len(set(names)) < len(names):
        raise ValueError(f"Two benchmarks have the same name: {', '.join(sorted(names))}.")
    return opened


def check_results(folder: Path, *, read_only: bool = False) -> None:
    """Make sure that rows can be read and written.

    Args:
        folder: Of the rows.
        read_only: Leave no trace.

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
