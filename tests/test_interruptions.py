"""What stops a command, in processes of their own: signals are theirs."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gseg.interruptions import INTERRUPTED, Interruption, told_on

_BEGIN = """
import hashlib, signal, sys, time
from gseg.interruptions import INTERRUPTED, Interruption

def long_call():
    hashlib.pbkdf2_hmac("sha256", b"word", b"salt", 10**8)  # a minute in C, without Python's lock

def work():
    try:
        print("ready", flush=True)
        {work}
    finally:
        print("tidied up")  # kept in Python's buffer, where it is no terminal

with Interruption("it", ends_process={ends}):
    work()
print("after", flush=True)
sys.exit(INTERRUPTED)
"""
_SLEEP = "time.sleep(30)"
_LONG_CALL = "long_call()"


class _Run:
    """A process that has come to its work."""

    def __init__(self, work: str, ends: bool = True, before: str = "") -> None:
        code = before + _BEGIN.format(work=work, ends=ends)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        assert self.process.stdout.readline() == "ready\n"
        time.sleep(0.3)  # it is to be in its call

    def end(self) -> tuple[int, str, list[str]]:
        """Wait; give exit status, standard output and the lines of standard error."""
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err.splitlines()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_stops_alike(number):
    run = _Run(_SLEEP)
    run.process.send_signal(number)
    status, out, err = run.end()
    assert status == INTERRUPTED
    assert out == "tidied up\n"
    assert len(err) == 2
    assert err[0].startswith("it: stopping, finished work is kept")
    assert ("Ctrl-C again" in err[0]) == (number == signal.SIGINT)
    assert err[1] == "it: interrupted; the same command goes on from here."


def test_it_is_heard_while_the_main_thread_is_in_c_and_ends_all_the_same():
    run = _Run(_LONG_CALL)
    begun = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    assert "stopping" in run.process.stderr.readline()
    assert time.monotonic() - begun < 2
    status, out, err = run.end()
    assert time.monotonic() - begun < 12  # by itself: the call takes longer
    assert (status, out) == (INTERRUPTED, "")
    assert err == ["it: interrupted; the same command goes on from here."]


def test_a_second_press_ends_at_once():
    run = _Run(_LONG_CALL)
    run.process.send_signal(signal.SIGINT)
    run.process.stderr.readline()
    time.sleep(0.5)
    run.process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    status, out, err = run.end()
    assert time.monotonic() - begun < 2
    assert (status, out) == (INTERRUPTED, "")
    assert err == ["it: interrupted; the same command goes on from here."]


def test_the_same_signal_from_two_senders_is_one():
    run = _Run("try: time.sleep(30)\n        finally: time.sleep(1)")
    for _ in range(3):  # `timeout` sends to the process, and to its group
        run.process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    status, out, _ = run.end()
    assert (status, out) == (INTERRUPTED, "tidied up\n")


def test_what_fails_while_it_stops_is_no_failure_of_the_command():
    run = _Run("try: time.sleep(30)\n        finally: raise ValueError('gone')")
    run.process.send_signal(signal.SIGTERM)
    status, _, err = run.end()
    assert status == INTERRUPTED
    assert len(err) == 2


def test_a_signal_that_is_ignored_stays_so():
    before = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    run = _Run("time.sleep(1)", before=before)
    run.process.send_signal(signal.SIGHUP)
    _, out, err = run.end()
    assert out == "tidied up\nafter\n"
    assert err == []


def test_a_terminal_that_is_gone_does_not_hinder_the_end():
    reader, writer = os.pipe()
    os.close(reader)  # what is written meets an error
    code = _BEGIN.format(work=_SLEEP, ends=False)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=writer, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGHUP)
        assert process.wait(30) == INTERRUPTED
    os.close(writer)


def test_handlers_are_those_of_before_at_the_end():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interruption("it", ends_process=False):
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_in_another_thread_nothing_is_installed():
    seen = []

    def work():
        with Interruption("it", ends_process=False):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_an_interruption_that_is_raised_ends_there(capsys):
    with Interruption("it", ends_process=False):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "it: interrupted; the same command goes on from here.\n"
    with (
        pytest.raises(ValueError, match="wrong"),
        Interruption("it", ends_process=False),
    ):
        raise ValueError("wrong")


def test_words_go_where_bars_are_drawn():
    said = io.StringIO()
    with Interruption("it", ends_process=False), told_on(said):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert said.getvalue() == "it: stopping, finished work is kept.\n"
