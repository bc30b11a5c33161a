import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gseg.storage import leases
from gseg.storage.leases import lease

_HOLDER = """
import sys, time
from pathlib import Path
from gseg.storage.leases import lease
with lease(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def _hold(folder: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_lease_waits_for_its_holder(tmp_path):
    with _hold(tmp_path / "a", 1.0) as process, lease(tmp_path / "a", poll=0.01) as held:
        assert held
        assert process.wait(timeout=5) == 0


def test_lease_of_a_killed_process_is_taken_over_at_once(tmp_path):
    with _hold(tmp_path / "a", 600) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        started = time.monotonic()
        with lease(tmp_path / "a", poll=0.01):
            assert time.monotonic() - started < 5


def test_lease_of_a_silent_foreign_host_expires(tmp_path, monkeypatch):
    path = tmp_path / "lease.json"
    process = {"host": "elsewhere", "pid": 1, "started": "1"}
    path.write_text(json.dumps({"id": "x", "process": process}))
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 0.3)
    started = time.monotonic()
    with lease(tmp_path, poll=0.01):
        assert 0.2 < time.monotonic() - started < 5


@pytest.mark.parametrize("hours", [-5, 5])
def test_clocks_of_other_machines_do_not_matter(tmp_path, monkeypatch, hours):
    """A holder whose heartbeats bear times of a clock that is hours off keeps its lease."""
    path = tmp_path / "lease.json"
    process = {"host": "elsewhere", "pid": 1, "started": "1"}
    path.write_text(json.dumps({"id": "x", "process": process}))
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 0.3)
    begun = time.time()

    def beat() -> bool:
        now = time.time()
        os.utime(path, (now + hours * 3600, now + hours * 3600))
        return now - begun > 1.0

    with lease(tmp_path, unless=beat, poll=0.05) as held:
        assert not held
    assert json.loads(path.read_text())["id"] == "x"


def test_waiting_ends_when_the_result_is_there(tmp_path):
    with lease(tmp_path), lease(tmp_path, unless=lambda: True) as held:
        assert not held
    assert not (tmp_path / "lease.json").exists()


def test_lease_excludes_across_processes(tmp_path):
    script = """
import sys, time
from pathlib import Path
from gseg.storage.leases import lease
folder = Path(sys.argv[1])
for _ in range(20):
    with lease(folder / "a", poll=0.001):
        value = int((folder / "n").read_text())
        time.sleep(0.002)
        (folder / "n").write_text(str(value + 1))
"""
    (tmp_path / "n").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "n").read_text() == "60"
