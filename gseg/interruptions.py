"""Ctrl-C, SIGTERM and SIGHUP stop a command, at once and alike.

Schedulers and preempted machines send SIGTERM, a terminal that closes sends SIGHUP; where one of
them is ignored (``nohup``, ``&`` in scripts) it stays so. Python itself runs a signal's handler
when the main thread comes back from C, which may take seconds in PyTorch and Ray: a thread that
waits for the signal's byte (`signal.set_wakeup_fd`) says meanwhile that it was heard.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final, Self, TextIO

INTERRUPTED: Final = 130
"""Exit status of a command that was stopped."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_END: Final = 0  # no signal has this number
# `timeout`, `uv run` and others send at once again what the process has got already.
_SAME_PRESS: Final = 0.3
# What has not ended by then is ended: being killed costs no more than being interrupted. Ray takes
# two seconds to stop, and ten where the signal went to its processes, too.
_PATIENCE: Final = 4.0
_AFTER_BARS: Final = b"\n\x1b[?25h"  # shows the cursor, which they hide
_CURRENT: Final[ContextVar["Interruption | None"]] = ContextVar("interruption", default=None)


class Interruption:
    """Lets what runs within be stopped, by a KeyboardInterrupt that ends here, in words.

    Handlers of signals are those of before at the end. In another thread than the main one there
    are none.

    Args:
        name: Of the command, as its messages begin.
        ends_process: Whether the process has nothing else to do. It then ends here, too: Python's
            own end waits for threads of pools, and takes as long as Ray's.
    """

    def __init__(self, name: str, *, ends_process: bool) -> None:
        self._name, self._ends_process = name, ends_process
        self.and_then = "goes on from here"
        self._pressed: float | None = None
        self._is_raised = False
        self._told, self._over = threading.Event(), threading.Event()
        self._before: dict[signal.Signals, Any] = {}
        self.stream: TextIO | None = None

    @property
    def is_asked(self) -> bool:
        """Whether a signal came: what runs ends."""
        return self._pressed is not None

    def __enter__(self) -> Self:
        self._token = _CURRENT.set(self)
        if threading.current_thread() is threading.main_thread():
            found = {number: signal.getsignal(number) for number in _SIGNALS}
            # None: a handler that Python knows nothing of, and could not put back.
            kept = (None, signal.SIG_IGN)
            self._before = {number: each for number, each in found.items() if each not in kept}
        if self._before:
            self._reader, self._writer = os.pipe()
            os.set_blocking(self._writer, False)
            self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
            self._thread = threading.Thread(target=self._follow, daemon=True)
            self._thread.start()
            for number in self._before:
                signal.signal(number, self._interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._is_raised = True  # from here on there is nothing to stop
        # Whatever goes wrong while all that runs is stopped comes of that.
        stopped = kind is not None and (self.is_asked or kind is KeyboardInterrupt)
        if stopped and self._ends_process:
            with suppress(OSError, ValueError):
                sys.stdout.flush()
            self._end()
        if stopped:
            self._tell(self._last_words())
        self._over.set()
        if self._before:
            for number, handler in self._before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._wakeup)
            os.write(self._writer, bytes([_END]))
            self._thread.join()
            os.close(self._reader)
            os.close(self._writer)
        _CURRENT.reset(self._token)
        return stopped

    def _interrupt(self, *_: object) -> None:
        """Stop the main thread; once, so that it can tidy up."""
        if not self._is_raised:
            self._is_raised = True
            self._told.wait(_SAME_PRESS)  # what it says last comes last; it may hold a lock
            raise KeyboardInterrupt

    def _follow(self) -> None:
        """Hear signals: say so after the first, end the process after another."""
        while (number := os.read(self._reader, 1)[0]) != _END:
            now = time.monotonic()
            if number not in self._before:
                continue
            if self._pressed is None:
                self._pressed = now
                threading.Thread(target=self._end_in_time, daemon=True).start()
                again = "; Ctrl-C again ends it at once" if number == signal.SIGINT else ""
                self._tell(f"{self._name}: stopping, finished work is kept{again}.")
                self._told.set()
            elif now - self._pressed > _SAME_PRESS:
                self._force_end()

    def _end_in_time(self) -> None:
        if not self._over.wait(_PATIENCE):
            self._force_end()

    def _force_end(self) -> None:
        """End the process in the middle of what it does, and all that it has started."""
        kill_children()
        with suppress(OSError):
            if os.isatty(1):
                os.write(1, _AFTER_BARS)
        self._end()

    def _end(self) -> None:
        with suppress(OSError):
            os.write(2, f"{self._last_words()}\n".encode())
        os._exit(INTERRUPTED)

    def _last_words(self) -> str:
        return f"{self._name}: interrupted; the same command {self.and_then}."

    def _tell(self, line: str) -> None:
        stream = self.stream or sys.stderr
        try:
            stream.write(f"{line}\n")
            stream.flush()
        except (OSError, ValueError):  # the terminal is gone: what is still written may go nowhere
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for standard in (1, 2):
                os.dup2(nowhere, standard)


def kill_children() -> None:
    """End all processes that this one has started, and those that they have."""
    import psutil  # type: ignore[import-untyped]

    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            each.kill()


def current_interruption() -> Interruption | None:
    """Give the one that this runs in; None in a program that is none of our commands."""
    return _CURRENT.get()


def will_begin_again() -> None:
    """Note that what runs keeps nothing for the next time, which its last words then say."""
    if current := _CURRENT.get():
        current.and_then = "begins again"


@contextmanager
def told_on(stream: TextIO) -> Iterator[None]:
    """Say there that what runs within stops; without this on what is standard error then."""
    current = _CURRENT.get()
    if current is None:
        yield
        return
    before, current.stream = current.stream, stream
    try:
        yield
    finally:
        current.stream = before
