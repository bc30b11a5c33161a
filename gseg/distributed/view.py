"""What a person sees while trials run: how many, what each is doing, and the time left."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gseg.distributed.remaining import Remaining
from gseg.distributed.sweep import Failure, Listener
from gseg.distributed.trial_actor import progress_file
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.progress import read_progress
from gseg.pipeline.rows import Row
from gseg.reports.labels import experiment_labels
from gseg.scores.protocol import DEFAULT_PROFILES

_REFRESH_SECONDS: Final = 0.5
_LINE_SECONDS: Final = 60.0
"""Between two lines that say how far everything is, where there is no live view."""
_MOST_SHOWN: Final = 8


class Watched(NamedTuple):
    """A trial as people see it: its name, and the file in which it says how far it is."""

    label: str
    progress: Path


class TrialsView:
    """Follows trials on the console: live where it is a terminal, line by line elsewhere.

    Args:
        console: Where to write.
        total: Trials in all.
        describe: Gives a trial that has started, by its number.
        estimates: Estimated seconds of each trial, for the time left; None where nothing is known.
        plain: Write lines even on a terminal.
        line_seconds: Between two lines that say how far everything is.
    """

    def __init__(
        self,
        console: Console,
        total: int,
        describe: Callable[[int], Watched],
        estimates: Sequence[float] | None = None,
        *,
        plain: bool,
        line_seconds: float = _LINE_SECONDS,
    ) -> None:
        self._console, self._total, self._describe = console, total, describe
        self._is_live = console.is_terminal and not plain
        self._pause = _REFRESH_SECONDS if self._is_live else line_seconds
        self._lock = threading.Lock()
        self._remaining = Remaining(total, estimates)
        self._running: list[int] = []
        self._done = self._failed = 0
        self._begun: float | None = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._is_live:
            self._live = Live(self._draw(), console=self._console, auto_refresh=False)
            self._live.start()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._live is not None:
            self._live.update(self._draw(), refresh=True)
            self._live.stop()

    def start(self, number: int) -> None:
        """Note a trial's start; of one that is started again, too."""
        with self._lock:
            if number not in self._running:
                self._running.append(number)
            self._remaining.start(number)
            begun, self._begun = self._begun, None
        if begun is not None:
            waited = format_seconds(time.monotonic() - begun)
            self._console.print(f"Ray and Tune started in {waited}")

    def end(self, number: int, text: str, *, failed: bool = False) -> None:
        """Note a trial's end.

        Args:
            number: Which.
            text: What came out, in a few words.
            failed: Whether it failed.
        """
        with self._lock:
            if number in self._running:
                self._running.remove(number)
            seconds = self._remaining.end(number)
            self._done += not failed
            self._failed += failed
        self._line(f"{self._describe(number).label}: {text}, {seconds:.0f} s")

    def say(self, number: int, text: str) -> None:
        """Write a line about a trial that goes on."""
        self._line(f"{self._describe(number).label}: {text}", always=True)

    def _line(self, text: str, *, always: bool = False) -> None:
        if self._live is not None and not always:
            return
        with self._lock:
            head = f"[{self._done + self._failed}/{self._total}{self._left()}]"
        self._console.print(f"{head} {text}", markup=False, highlight=False, soft_wrap=True)

    def _refresh(self) -> None:
        while not self._stop.wait(self._pause):
            if self._live is not None:
                self._live.update(self._draw(), refresh=True)
            else:
                self._console.print(self._state(), markup=False, soft_wrap=True)

    def _state(self) -> str:
        """Say in one line how far everything is."""
        with self._lock:
            head, running = self._head(), list(self._running)
        doing = []
        for number in running[:_MOST_SHOWN]:
            label, file = self._describe(number)
            state = read_progress(file)
            step = f"{state.stage} {state.done:,}/{state.total:,}" if state else "starting"
            doing.append(f"{label}: {step}")
        return "; ".join([head, *doing])

    def _head(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        running = f"{len(self._running)} running{failed}"
        return f"{self._done} of {self._total} trials done, {running}{self._left()}"

    def _draw(self) -> Group:
        with self._lock:
            head, running = self._head(), list(self._running)
        lines = Table.grid(padding=(0, 2))
        for number in running[:_MOST_SHOWN]:
            label, file = self._describe(number)
            state = read_progress(file)
            stage, now, end, detail = state or ("starting", 0, 1, "")
            bar = ProgressBar(total=max(end, 1), completed=now, width=24)
            count = f"{now:,}/{end:,}" if state else ""
            lines.add_row(f"  {label}", stage, bar, count, detail)
        if len(running) > _MOST_SHOWN:
            lines.add_row(f"  and {len(running) - _MOST_SHOWN} more")
        return Group(Text(head), lines)

    def _left(self) -> str:
        seconds = self._remaining.seconds()
        return "" if seconds is None else f", {format_seconds(seconds)} left"


class SweepView(TrialsView, Listener):
    """Follows the trials of a sweep.

    Args:
        console: Where to write.
        experiments: What the sweep runs.
        storage: Where trials write how far they are.
        estimates: Estimated seconds of each experiment.
        plain: Write lines even on a terminal.
    """

    def __init__(
        self,
        console: Console,
        experiments: Sequence[Experiment],
        storage: Path,
        estimates: Sequence[float],
        *,
        plain: bool,
    ) -> None:
        labels = experiment_labels(experiments)

        def describe(number: int) -> Watched:
            return Watched(labels[number], progress_file(storage, experiments[number]))

        super().__init__(console, len(experiments), describe, estimates, plain=plain)

    def started(self, number: int) -> None:
        """Note a trial's start."""
        self.start(number)

    def finished(self, number: int, rows: list[Row]) -> None:
        """Note a trial's success."""
        shown = [row for row in rows if row["metric_profile"] == DEFAULT_PROFILES[0]]
        several = len(shown) > 1
        parts = [f"{row['benchmark'] if several else ''} {row['iou']:.3f}" for row in shown]
        self.end(number, f"IoU {', '.join(part.strip() for part in parts)}")

    def failed(self, failure: Failure, number: int) -> None:
        """Note a trial's failure."""
        self.end(number, f"failed: {failure.reason}", failed=True)

    def retried(self, number: int, attempt: int, reason: str) -> None:
        """Note that a trial is started again."""
        self.say(number, f"attempt {attempt} failed, tried again: {reason}")


def format_seconds(seconds: float) -> str:
    """Write a duration for people, such as ``2 min 10 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
