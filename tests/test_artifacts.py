import errno
import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gseg import artifacts
from gseg.artifacts import StorageError, Store, digest, lease, replacing, write_atomically


@dataclass(frozen=True)
class _Config:
    rate: float = 0.5
    widths: tuple[int, ...] = (1, 2)


def test_digest_depends_on_content_only():
    assert digest(_Config(), {"a": 1, "b": None}) == digest(_Config(), {"b": None, "a": 1})
    assert digest(_Config()) != digest(_Config(rate=0.25))
    assert digest("a", "b") != digest("ab")


def test_digest_is_the_same_on_every_machine():
    assert digest("direction", 1, _Config(), []) == "10d3ddf4acf4e22033ae"


def test_digest_refuses_what_it_cannot_name():
    with pytest.raises(TypeError, match="Cannot name object"):
        digest(object())


def test_make_runs_once(tmp_path):
    store = Store(tmp_path)
    calls = []

    def build(folder: Path):
        calls.append(folder)
        write_atomically(folder / "x.txt", b"hello")
        return {"count": 3}

    first = store.make("stage", version=1, config=_Config(), parents=["p"], build=build)
    again = store.make("stage", version=1, config=_Config(), parents=["p"], build=build)
    assert len(calls) == 1
    assert (first.reused, again.reused) == (False, True)
    assert again.facts == {"count": 3}
    assert again.manifest["parents"] == ["p"]
    assert sorted(path.name for path in again.folder.iterdir()) == ["manifest.json", "x.txt"]


def test_a_new_code_version_or_parent_is_another_artifact(tmp_path):
    store = Store(tmp_path)
    made = [
        store.make("stage", version=version, config={}, parents=parents, build=lambda folder: {})
        for version, parents in ((1, []), (2, []), (1, ["p"]))
    ]
    assert len({artifact.digest for artifact in made}) == 3


def test_a_failed_build_leaves_no_manifest_and_no_lease(tmp_path):
    store = Store(tmp_path)

    def fail(folder: Path):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        store.make("stage", version=1, config={}, parents=[], build=fail)
    made = store.make("stage", version=1, config={}, parents=[], build=lambda folder: {"ok": True})
    assert made.facts == {"ok": True}
    assert not (made.folder / "lease.json").exists()


_HOLDER = """
import sys, time
from pathlib import Path
from gseg.artifacts import lease
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
    monkeypatch.setattr(artifacts, "EXPIRY_SECONDS", 0.3)
    started = time.monotonic()
    with lease(tmp_path, poll=0.01):
        assert 0.2 < time.monotonic() - started < 5


def test_waiting_ends_when_the_result_is_there(tmp_path):
    with lease(tmp_path), lease(tmp_path, unless=lambda: True) as held:
        assert not held
    assert not (tmp_path / "lease.json").exists()


def test_lease_excludes_across_processes(tmp_path):
    script = """
import sys, time
from pathlib import Path
from gseg.artifacts import lease
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


def test_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    write_atomically(path, b"old")
    with pytest.raises(FileNotFoundError), replacing(path) as part:
        part.write_bytes(b"half")
        (tmp_path / "missing").read_bytes()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_clear_line(tmp_path):
    with pytest.raises(StorageError, match="disk is full"), replacing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_check_names_a_storage_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(StorageError, match=f"Cannot write to the storage {file}"):
        Store(file).check()
