"""Copies of an object store make room for others, but never those that are in use."""

import json
import os
import time

import pytest

from gseg.storage import cache_limit
from gseg.storage.cache_limit import trial_runs, trim_cache
from gseg.storage.files import write_atomically
from gseg.storage.mirror import describe, exists, fetch, storage_folder
from gseg.storage.store import Store

_SIZE = 10_000
_HOUR = 3600.0


@pytest.fixture
def storage(bucket):
    """Three artifacts, the first used the longest ago, and a file that is only here."""
    folder = storage_folder(f"{bucket}/storage")
    for number, name in enumerate("abc"):
        _make(folder, name)
        _use(folder, name, hours=10 - number)
    alone = folder / "progress" / "alone.json"
    write_atomically(alone, b"0" * _SIZE, shared=False)
    os.utime(alone, (0, 0))
    return folder


def _make(folder, name):
    def build(inside):
        write_atomically(inside / "x.bin", name.encode() * _SIZE)
        (inside / "deep").mkdir()
        (inside / "deep" / "y.bin").write_bytes(b"y")
        return {}

    return Store(folder).make("stage", version=1, config=name, parents=[], build=build)


def _use(folder, name, *, hours):
    when = time.time() - hours * _HOUR
    for path in _artifact(folder, name).rglob("*"):
        os.utime(path, (when, when))


def _artifact(folder, name):
    (found,) = (
        path.parent for path in folder.glob("stage/*/x.bin") if path.read_bytes()[0] == ord(name)
    )
    return found


def _here(folder):
    return sorted(chr(path.read_bytes()[0]) for path in folder.glob("stage/*/x.bin"))


def test_the_least_recently_used_go_first_and_come_back(storage):
    assert trim_cache(storage, 10**9) == 0
    removed = trim_cache(storage, 3 * _SIZE + 5_000)
    assert _SIZE < removed < 2 * _SIZE
    assert _here(storage) == ["b", "c"]
    assert (storage / "progress" / "alone.json").exists()
    again = _make(storage, "a")
    assert again.reused
    assert (again.folder / "x.bin").read_bytes() == b"a" * _SIZE
    assert (again.folder / "deep" / "y.bin").read_bytes() == b"y"


def test_what_is_only_here_stays(storage):
    trim_cache(storage, 1)
    assert _here(storage) == []
    assert (storage / "progress" / "alone.json").exists()


def test_what_was_found_a_moment_ago_stays(storage):
    _make(storage, "a")  # finds it, which marks it as used
    trim_cache(storage, 1)
    assert _here(storage) == ["a"]


def test_a_shard_that_was_fetched_a_moment_ago_stays(storage):
    assert fetch(_artifact(storage, "b") / "x.bin")
    trim_cache(storage, 1)
    assert _here(storage) == ["b"]


def test_what_a_running_trial_has_used_stays_however_long_it_runs(storage, monkeypatch):
    began = time.time() - 8.5 * _HOUR
    with monkeypatch.context() as patch, trial_runs(storage):
        patch.setattr(cache_limit, "_RECENT_SECONDS", 1.0)
        (note,) = cache_limit.cache_folder().glob("running/*.json")
        note.write_text(json.dumps(json.loads(note.read_text()) | {"since": began}))
        trim_cache(storage, 1)
        assert _here(storage) == ["c"]  # used 8 hours ago, after the trial's begin
    assert list(cache_limit.cache_folder().glob("running/*.json")) == []
    trim_cache(storage, 1)
    assert _here(storage) == []


def test_a_trial_makes_room_when_it_begins(storage, monkeypatch):
    monkeypatch.setenv("GSEG_CACHE_GIB", f"{2.5 * _SIZE / 2**30}")
    with trial_runs(storage):
        assert _here(storage) == ["c"]


def test_a_limit_is_a_number(storage, monkeypatch):
    for wrong in ("lots", "0", "-1"):
        monkeypatch.setenv("GSEG_CACHE_GIB", wrong)
        with pytest.raises(ValueError, match=r"GSEG_CACHE_GIB is .*expected GiB above 0"):
            cache_limit.cache_limit(storage)
    monkeypatch.delenv("GSEG_CACHE_GIB")
    assert cache_limit.cache_limit(storage) > 10**6


def test_an_ordinary_folder_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GSEG_CACHE_GIB", "0.000001")
    made = _make(tmp_path, "a")
    with trial_runs(tmp_path):
        assert made.folder.exists()
    assert exists(made.folder / "x.bin")
    assert describe(made.folder) == str(made.folder)
