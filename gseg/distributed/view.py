"""What a person sees while a sweep runs: one line for each running trial, and the time left."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gseg.distributed.sweep import Failure, Listener, progress_file
from gseg.experiment import Experiment
from gseg.progress import read_progress
from gseg.rows import Row

_REFRESH_SECONDS: Final = 0.5
_MOST_SHOWN: Final = 8


class SweepView(Listener):
    """Follows a sweep on the console: live where it is a terminal, line by line elsewhere.

    Args:
        console: Where to write.
        experiments: What the sweep runs.
        storage: Where trials write how far they are.
        estimates: Estimated seconds of each experiment; weights for the time left.
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
        self._console, self._experiments, self._storage = console, experiments, storage
        self._estimates = estimates
        self._live_wanted = console.is_terminal and not plain
        self._lock = threading.Lock()
        self._running: dict[int, float] = {}
        self._ended: set[int] = set()
        self._failed = 0
        self._begun = time.monotonic()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._live_wanted:
            self._live = Live(self._draw(), console=self._console, auto_refresh=False)
            self._live.start()
            self._thread = threading.Thread(target=self._refresh, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        if self._live is not None:
            self._live.update(self._draw(), refresh=True)
            self._live.stop()

    def started(self, number: int) -> None:
        """Note a trial's start."""
        now = time.monotonic()
        with self._lock:
            first = not self._running and not self._ended
            self._running[number] = now
        if first:
            waited = format_seconds(now - self._begun)
            self._begun = now
            self._console.print(f"Ray and Tune started in {waited}")

    def finished(self, number: int, rows: list[Row]) -> None:
        """Note a trial's success."""
        seconds = self._end(number)
        iou = max((row["iou"] or 0.0 for row in rows), default=0.0)
        self._line(number, f"IoU {iou:.3f}, {seconds:.0f} s")

    def failed(self, failure: Failure, number: int) -> None:
        """Note a trial's failure."""
        self._failed += 1
        self._end(number)
        self._line(number, f"failed: {failure.reason}")

    def _end(self, number: int) -> float:
        with self._lock:
            self._ended.add(number)
            begun = self._running.pop(number, time.monotonic())
        return time.monotonic() - begun

    def _line(self, number: int, text: str) -> None:
        if self._live is not None:
            return
        left = self._time_left()
        rest = f", {left} left" if left else ""
        self._console.print(
            f"[{len(self._ended)}/{len(self._experiments)}{rest}] "
            f"{self._experiments[number].label}: {text}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _refresh(self) -> None:
        while not self._stop.wait(_REFRESH_SECONDS):
            assert self._live is not None
            self._live.update(self._draw(), refresh=True)

    def _draw(self) -> Group:
        with self._lock:
            running = dict(self._running)
        done, total = len(self._ended), len(self._experiments)
        head = Text(f"{done} of {total} trials done, {len(running)} running")
        if self._failed:
            head.append(f", {self._failed} failed", style="red")
        left = self._time_left()
        head.append(f", {left} left" if left else "")
        lines = Table.grid(padding=(0, 2))
        for number in list(running)[:_MOST_SHOWN]:
            experiment = self._experiments[number]
            state = read_progress(progress_file(self._storage, experiment))
            stage, now, end, detail = state or ("starting", 0, 1, "")
            bar = ProgressBar(total=max(end, 1), completed=now, width=24)
            count = f"{now:,}/{end:,}" if state else ""
            lines.add_row(f"  {experiment.label}", stage, bar, count, detail)
        return Group(head, lines)

    def _time_left(self) -> str:
        """Scale the estimates of what is left by how right those of the finished trials were."""
        ended = sum(self._estimates[number] for number in self._ended)
        if not ended:
            return ""
        spent = time.monotonic() - self._begun
        rest = sum(self._estimates) - ended
        return format_seconds(rest * spent / ended)


def format_seconds(seconds: float) -> str:
    """Write a duration for people, such as ``2 min 10 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
