"""What a person sees while points are tried: how many, what each is doing, and the time left."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gseg.distributed.run import Listener
from gseg.pipeline.progress import read_progress
from gseg.pipeline.rows import Row
from gseg.scores.specs import DEFAULT_PROFILES
from gseg.search.records import Record
from gseg.search.source import Point

_REFRESH_SECONDS: Final = 0.5
# Between two lines that say how far everything is, where there is no live view.
_LINE_SECONDS: Final = 60.0
_MOST_SHOWN: Final = 8


class Watched(NamedTuple):
    """A point as people see it: its name, and the file in which it says how far it is."""

    label: str
    progress: Path


class TrialsView(Listener):
    """Follows points on the console: live where it is a terminal, line by line elsewhere.

    Args:
        console: Where to write.
        total: Points in all.
        describe: Says how people see a point.
        estimates: Estimated seconds of each point, for the time left; None where nothing is known.
        objectives: What is said of a point that is complete; its IoU if there are none.
        plain: Write lines even on a terminal.
        line_seconds: Between two lines that say how far everything is.
    """

    def __init__(
        self,
        console: Console,
        total: int,
        describe: Callable[[Point], Watched],
        *,
        estimates: Sequence[float] | None = None,
        objectives: Sequence[str] = (),
        plain: bool,
        line_seconds: float = _LINE_SECONDS,
    ) -> None:
        self._console, self._total, self._describe = console, total, describe
        self._objectives = objectives
        self._is_live = console.is_terminal and not plain
        self._pause = _REFRESH_SECONDS if self._is_live else line_seconds
        self._lock = threading.Lock()
        self._remaining = Remaining(total, estimates)
        self._running: dict[int, Watched] = {}
        self._done = self._failed = 0
        self._begun: float | None = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._refresh, daemon=True)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._is_live:
            self._live = Live(self._draw(), console=self._console, auto_refresh=False)
            self._live.start()
        # A thread: Tune calls back at starts and ends alone, and stages take minutes.
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._live is not None:
            self._live.update(self._draw(), refresh=True)
            self._live.stop()

    def started(self, point: Point) -> None:
        """Note a point's start; of one that is started again, too."""
        with self._lock:
            self._running[point.number] = self._describe(point)
            self._remaining.start(point.number)
            # The first point alone tells how long Ray and Tune took; later ones find None.
            begun, self._begun = self._begun, None
        if begun is not None:
            waited = format_seconds(time.monotonic() - begun)
            self._console.print(f"Ray and Tune started in {waited}")

    def ended(self, record: Record, rows: list[Row]) -> None:
        """Note a point's end."""
        label = self._describe(Point(number=record.number, parameters=record.parameters)).label
        failed = record.state == "failed"
        with self._lock:
            self._running.pop(record.number, None)
            seconds = self._remaining.end(record.number)
            self._done += not failed
            self._failed += failed
        self._line(f"{label}: {_outcome(record, rows, self._objectives)}, {seconds:.0f} s")

    def retried(self, point: Point, attempt: int, reason: str) -> None:
        """Note that a point is started again."""
        label = self._describe(point).label
        self._line(f"{label}: attempt {attempt} failed, tried again: {reason}", always=True)

    def _line(self, text: str, *, always: bool = False) -> None:
        if self._live is not None and not always:
            return  # the bars say it
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
        head, running = self._head()
        doing = []
        for label, file in running[:_MOST_SHOWN]:
            state = read_progress(file)
            step = f"{state.stage} {state.done:,}/{state.total:,}" if state else "starting"
            doing.append(f"{label}: {step}")
        return "; ".join([head, *doing])

    def _head(self) -> tuple[str, list[Watched]]:
        with self._lock:
            failed = f", {self._failed} failed" if self._failed else ""
            running = f"{len(self._running)} running{failed}"
            head = f"{self._done} of {self._total} trials done, {running}{self._left()}"
            return head, list(self._running.values())

    def _draw(self) -> Group:
        head, running = self._head()
        lines = Table.grid(padding=(0, 2))
        for label, file in running[:_MOST_SHOWN]:
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


class Remaining:
    """Estimates the time left.

    Estimates are scaled by how right those of the finished points were. What is left is spread
    over as many points as have run at the same time.

    Args:
        total: Points in all.
        estimates: Estimated seconds of each; None for all alike and unknown.
    """

    def __init__(self, total: int, estimates: Sequence[float] | None) -> None:
        self._estimates = estimates
        self._waiting = float(total) if estimates is None else sum(estimates)
        self._started: set[int] = set()
        self._begun: dict[int, float] = {}
        self._ended_estimates = self._ended_seconds = 0.0
        self._most_running = 1

    def _estimate(self, number: int) -> float:
        return 1.0 if self._estimates is None else self._estimates[number]

    def start(self, number: int) -> None:
        """Note that a point has started, perhaps once more."""
        self._begun[number] = time.monotonic()
        # What is started again was taken off what waits the first time.
        if number not in self._started:
            self._started.add(number)
            self._waiting -= self._estimate(number)
        self._most_running = max(self._most_running, len(self._begun))

    def end(self, number: int) -> float:
        """Note that a point has ended, and say how long it took."""
        if number not in self._begun:  # Tune dropped it before it had a process
            self.start(number)
        seconds = time.monotonic() - self._begun.pop(number)
        self._ended_estimates += self._estimate(number)
        self._ended_seconds += seconds
        return seconds

    def seconds(self) -> float | None:
        """Say how long it still takes; None if nothing is known of it yet."""
        # Estimates are good to a factor of two: what has ended says which.
        if self._ended_estimates > 0:
            factor = self._ended_seconds / self._ended_estimates
        elif self._estimates is not None:
            factor = 1.0
        else:
            return None
        now = time.monotonic()
        running = [
            max(self._estimate(number) * factor - (now - begun), 0.0)
            for number, begun in self._begun.items()
        ]
        # The longest one that runs ends last, however many run beside it.
        shared = (sum(running) + max(self._waiting, 0.0) * factor) / self._most_running
        return max(shared, *running, 0.0)


def _outcome(record: Record, rows: list[Row], objectives: Sequence[str]) -> str:
    """Say in a few words what came of a point."""
    if record.state != "complete":
        return f"{record.state}: {record.reason}"
    if objectives:
        known = [name for name in objectives if name in record.values]
        return ", ".join(f"{name} {record.values[name]:.4f}" for name in known)
    if rows and "metric_profile" not in rows[0]:  # of a trial that ends with its direction
        return f"v_l · v_d {rows[0]['cosine']:.3f}"
    # Other profiles' scores are in the tables.
    shown = [row for row in rows if row["metric_profile"] == DEFAULT_PROFILES[0]]
    several = len(shown) > 1
    parts = [f"{row['benchmark'] if several else ''} {row['iou']:.3f}" for row in shown]
    return f"IoU {', '.join(part.strip() for part in parts)}"


def format_seconds(seconds: float) -> str:
    """Write a duration for people, such as ``2 min 10 s``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
