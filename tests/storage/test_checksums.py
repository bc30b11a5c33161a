"""Checksums are right whatever happens to a file, and files are read once."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from gseg.storage import checksums as module
from gseg.storage.checksums import checksum, checksums, file_digest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a memory of its own, in which nothing is too young to be remembered."""
    monkeypatch.setenv("GSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_YOUNG_NS", -(10**18))
    monkeypatch.setattr(module, "_known", {})
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """List what is read."""
    seen: list[Path] = []
    read = module._read
    monkeypatch.setattr(module, "_read", lambda path: (seen.append(path), read(path))[1])
    return seen


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be another process."""
    monkeypatch.setattr(module, "_known", {})


def test_is_that_of_sha256sum(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(2000)]
    for number, file in enumerate(files):
        file.write_bytes(b"%d" % (number // 2))
    told: list[tuple[int, int]] = []
    found = checksums(files, lambda done, total: told.append((done, total)))
    assert found == [sha(b"%d" % (number // 2)) for number in range(2000)]
    assert told[-1] == (2000, 2000)
    assert file_digest(files[3]) == sha(b"1")[:20]


def test_a_file_is_read_once_also_by_other_processes(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_bytes(file.name.encode())
    first = checksums(files)
    assert checksums(files) == first
    forget(monkeypatch)
    assert checksums(files[::-1]) == first[::-1]
    assert sorted(reads) == files


def test_a_change_is_seen_whatever_the_times_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"old")
    before = file.stat()
    assert checksum(file) == sha(b"old")
    time.sleep(0.02)  # a status time is as coarse as the system's clock tick
    file.write_bytes(b"new")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert checksum(file) == sha(b"new")
    forget(monkeypatch)
    assert checksum(file) == sha(b"new")


def test_what_was_changed_this_moment_is_read_again(
    tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_YOUNG_NS", 60 * 10**9)
    file = tmp_path / "a"
    file.write_bytes(b"x")
    assert checksum(file) == checksum(file) == sha(b"x")
    assert len(reads) == 2


@pytest.mark.parametrize("place", ["a file", "damaged", "read-only"])
def test_without_a_memory_files_are_read(tmp_path: Path, cache: Path, place: str) -> None:
    if place == "a file":
        cache.write_bytes(b"")
    else:
        cache.mkdir()
        (cache / "checksums.sqlite").write_bytes(b"no database" * 1000)
    if place == "read-only":
        (cache / "checksums.sqlite").unlink()
        (cache / "checksums.sqlite").mkdir()
    file = tmp_path / "a"
    file.write_bytes(b"x")
    assert checksum(file) == sha(b"x")


def test_a_damaged_memory_begins_anew(
    tmp_path: Path, cache: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    (cache / "checksums.sqlite").write_bytes(b"no database" * 1000)
    file = tmp_path / "a"
    file.write_bytes(b"x")
    checksum(file)
    forget(monkeypatch)
    checksum(file)
    assert len(reads) == 1


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        checksum(tmp_path / "a")
