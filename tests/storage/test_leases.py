"""Leases on a disk, and on an object store."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gseg.storage import leases, mirror
from gseg.storage.leases import ObjectLease, is_held, lease, process_identity
from gseg.storage.mirror import place_of, storage_folder

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


def test_whether_a_folder_is_held_is_seen_at_once(tmp_path):
    assert not is_held(tmp_path / "a")
    with lease(tmp_path / "a"):
        assert is_held(tmp_path / "a")
    with _hold(tmp_path / "a", 600) as process:
        assert is_held(tmp_path / "a")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not is_held(tmp_path / "a")
    # Of another machine, whose clock may be minutes off.
    process = {"host": "elsewhere", "pid": 1, "started": "1"}
    path = tmp_path / "lease.json"
    path.write_text(json.dumps({"id": "x", "process": process}))
    for minutes, held in ((-30, True), (0, True), (30, True), (90, False)):
        then = time.time() - 60 * minutes
        os.utime(path, (then, then))
        assert is_held(tmp_path) == held


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


_WITHOUT_LINKS = """
import errno, os
def link(source, target):
    raise OSError(errno.EPERM, "Operation not permitted")
os.link = link
"""


def without_links(source, target):
    raise OSError(errno.EPERM, "Operation not permitted", str(source))


def test_lease_excludes_where_there_are_no_hard_links(tmp_path, monkeypatch):
    """As on FUSE, exFAT and SMB."""
    script = f"""{_WITHOUT_LINKS}
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
    assert list((tmp_path / "a").iterdir()) == []

    monkeypatch.setattr(os, "link", without_links)
    with _hold(tmp_path / "a", 600) as process:  # killed: taken over, without links either
        process.send_signal(signal.SIGKILL)
        process.wait()
        with lease(tmp_path / "a", poll=0.01) as held:
            assert held


@pytest.mark.parametrize("content", ["", '{"id": "x", "pro', "[]", '{"id": "x"}', "\0\0"])
def test_a_lease_that_says_nothing_expires_and_not_before(tmp_path, monkeypatch, content):
    """As whoever is killed between creating and writing it leaves it, or a power cut."""
    (tmp_path / "lease.json").write_text(content)
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 0.3)
    started = time.monotonic()
    with lease(tmp_path, poll=0.01) as held:
        assert held
        assert 0.2 < time.monotonic() - started < 5
    assert list(tmp_path.iterdir()) == []


def test_an_empty_lease_that_is_filled_in_time_is_its_holder_s(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 0.5)
    path, begun = tmp_path / "lease.json", time.monotonic()
    path.touch()

    def fill() -> bool:
        now = time.monotonic() - begun
        if now > 0.3 and not path.stat().st_size:
            path.write_text(json.dumps(token("x", host="elsewhere")))
        return now > 0.7

    with lease(tmp_path, unless=fill, poll=0.01) as held:
        assert not held


@pytest.mark.parametrize("content", ["", '{"id": "x", "proc'])
def test_a_lease_that_names_nobody_is_not_waited_for_long(tmp_path, monkeypatch, content):
    """As a power cut leaves it."""
    monkeypatch.setattr(leases, "_EMPTY_SECONDS", 0.2)
    (tmp_path / "lease.json").write_text(content)
    begun = time.monotonic()
    with lease(tmp_path, unless=lambda: time.monotonic() - begun > 20, poll=0.01) as held:
        assert held


def test_what_a_killed_process_was_writing_goes_with_its_lease(tmp_path):
    left = [tmp_path / f".x.json.{'a' * 32}.part", tmp_path / "inner" / f".y.{'b' * 32}.part"]
    for path in (*left, tmp_path / "inner" / "y.part", tmp_path / ".x.json"):
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    with lease(tmp_path):
        assert not any(path.exists() for path in left)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [".x.json", "y.part"]


def test_who_lost_a_lease_while_silent_notices(tmp_path):
    mine, other = (
        leases._FileLease(tmp_path / "lease.json", token(name)) for name in ("mine", "other")
    )
    assert mine.create()
    assert mine.beat()
    assert not other.create()
    (tmp_path / "lease.json").unlink()
    assert other.create()
    assert not mine.beat()
    mine.release()  # which is not his any more
    assert other.beat()


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_who_is_stopped_between_creating_and_writing_does_not_hold_it(
    tmp_path, monkeypatch, number
):
    def link(source, target):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    path = tmp_path / "lease.json"
    assert leases.create_alone(path, "first")
    assert not leases.create_alone(path, "second")
    assert path.read_text() == "first"
    path.unlink()
    real = Path.open

    def stopped(self, mode="r", **more):
        file = real(self, mode, **more)
        if mode == "x":  # meanwhile it has expired, and somebody else has created his own
            self.unlink()
            self.write_text("other")
        return file

    monkeypatch.setattr(Path, "open", stopped)
    assert not leases.create_alone(path, "first")
    assert path.read_text() == "other"


_OBJECT_HOLDER = """
import sys, time
from gseg.storage.leases import lease
from gseg.storage.mirror import storage_folder
with lease(storage_folder(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(bucket):
    return storage_folder(f"{bucket}/stage/digest")


def objects(folder):
    place = place_of(folder)
    return mirror.client().list_objects_v2(Bucket=place.bucket).get("KeyCount")


def token(name: str, host: str | None = None):
    process = process_identity()
    return {"id": name, "process": process if host is None else {**process, "host": host}}


def test_a_lease_is_held_by_one_and_released(folder):
    with lease(folder) as held:
        assert held
        with lease(folder, unless=lambda: True) as other:
            assert not other
    assert objects(folder) == 0


def test_whether_an_object_is_held_is_seen_by_the_store_s_clock(folder, monkeypatch):
    assert not is_held(folder)
    with lease(folder):
        assert is_held(folder)
        monkeypatch.setattr(leases, "EXPIRY_SECONDS", -1.0)
        assert not is_held(folder)


def test_a_lease_of_a_killed_process_is_taken_over_at_once(folder, bucket):
    arguments = [sys.executable, "-c", _OBJECT_HOLDER, f"{bucket}/stage/digest"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
        started = time.monotonic()
        with lease(folder, poll=0.01) as held:
            assert held
            assert time.monotonic() - started < 10


def test_a_silent_foreign_lease_expires(folder, monkeypatch):
    foreign = ObjectLease(place_of(folder / "lease.json"), token("x", host="elsewhere"))
    assert foreign.create()
    assert not foreign.read().is_abandoned
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", -1.0)
    with lease(folder, poll=0.01) as held:
        assert held
        assert not foreign.beat()
        foreign.release()  # which is not his any more
        assert objects(folder) == 1


def test_only_the_store_s_clock_counts(folder, monkeypatch):
    """This machine's is not looked at: without one, leases are held and judged as ever."""
    monkeypatch.setattr(leases, "time", SimpleNamespace(sleep=time.sleep))
    foreign = ObjectLease(place_of(folder / "lease.json"), token("x", host="elsewhere"))
    assert foreign.create()
    assert 0 <= foreign.read().silent < 30
    assert not foreign.read().is_abandoned
    assert foreign.beat()


def test_of_several_that_take_over_one_succeeds(folder):
    place = place_of(folder / "lease.json")
    assert ObjectLease(place, token("dead", host="elsewhere")).create()
    several = [ObjectLease(place, token(str(number))) for number in range(6)]
    abandoned = [each.read() for each in several]
    won = []

    def take(each, holding):
        won.append(each.take_over(holding))

    threads = [
        threading.Thread(target=take, args=pair) for pair in zip(several, abandoned, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(won) == 1


def test_a_heartbeat_keeps_others_from_taking_over(folder):
    mine = ObjectLease(place_of(folder / "lease.json"), token("mine"))
    other = ObjectLease(place_of(folder / "lease.json"), token("other"))
    assert mine.create()
    seen = other.read()
    assert mine.beat()
    assert not other.take_over(seen)
    assert mine.beat()


def test_an_attempt_that_was_carried_out_but_not_answered_counts(folder):
    place = place_of(folder / "lease.json")
    mine = ObjectLease(place, token("mine"))
    assert mine.create()
    assert ObjectLease(place, token("mine")).create()  # as a connection that tries again does
    assert not ObjectLease(place, token("other")).create()


def test_a_store_without_conditions_is_used_without(folder, monkeypatch):
    from botocore.exceptions import ClientError

    real = mirror.client()

    class Plain:
        def __getattr__(self, name):
            return getattr(real, name)

        def put_object(self, **arguments):
            if "IfNoneMatch" in arguments or "IfMatch" in arguments:
                raise ClientError({"Error": {"Code": "NotImplemented"}}, "PutObject")
            return real.put_object(**arguments)

    monkeypatch.setattr(leases, "client", Plain)
    with lease(folder) as held:
        assert held
        with lease(folder, unless=lambda: True) as other:
            assert not other
        assert ObjectLease(place_of(folder / "lease.json"), token("x")).read() is not None
    assert objects(folder) == 0
