"""Checksums of files, remembered for this machine: a large set of pictures is read once.

A file counts as the same while its path, size, inode and both times, of its content and of its
status, are: the second cannot be set back by a program. What was changed in the last moments is not
remembered, as clocks of file systems are coarse. The memory lies beside the copies of object
stores (`gseg.storage.mirror.cache_folder`), outside every storage, and may be deleted.
"""

import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from gseg.storage.mirror import cache_folder

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

_FILE: Final = "checksums.sqlite"
# FAT keeps times of two seconds.
_YOUNG_NS: Final = 2_100_000_000
_READERS: Final = 8
# Files asked for at a time; SQLite takes 32,766 parameters, before 3.32 it took 999.
_ASKED: Final = 900
# More files than this, 100 MB of memory: it begins anew.
_MOST: Final = 1_000_000
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, mark TEXT, sha256 TEXT) WITHOUT ROWID"
)
# What this process has seen; the database is asked for the others.
_known: Final[dict[tuple[bytes, str], str]] = {}


def checksum(path: Path) -> str:
    """Give a file's SHA-256 in hexadecimal digits, as `sha256sum` does.

    Raises:
        OSError: It cannot be read.
    """
    return checksums([path])[0]


def file_digest(path: Path) -> str:
    """Name a file by its content, in 20 hexadecimal digits; see `checksum`."""
    return checksum(path)[:20]


def read_again(path: Path) -> str:
    """Give a file's checksum, whatever is remembered of it; that is corrected."""
    mark, found = _mark(path), _read(path)
    if _known.get(mark) not in (None, found):
        _known[mark] = found
        _keep({mark: found})
    return found


def checksums(
    paths: Sequence[Path], progress: Callable[[int, int], object] | None = None
) -> list[str]:
    """Give the SHA-256 of each file; those that this machine does not know are read.

    Args:
        paths: The files.
        progress: Called with (files read, files to read).

    Raises:
        OSError: One cannot be read.
    """
    marks = [_mark(path) for path in paths]
    _recall(set(marks) - _known.keys())
    unread = {mark: path for mark, path in zip(marks, paths, strict=True) if mark not in _known}
    read = dict(zip(unread, _read_all(list(unread.values()), progress), strict=True))
    # Looked at again: what was written to while it was read is not remembered either.
    now = time.time_ns()
    settled = {
        mark: found
        for mark, found in read.items()
        if _mark(unread[mark]) == mark and now - _changed(unread[mark]) > _YOUNG_NS
    }
    _keep(settled)
    _known.update(settled)
    return [read.get(mark) or _known[mark] for mark in marks]


def _mark(path: Path) -> tuple[bytes, str]:
    """Name a file as it is now, by its path and by what changes with its content."""
    told = path.stat()
    mark = f"{told.st_dev} {told.st_ino} {told.st_size} {told.st_mtime_ns} {told.st_ctime_ns}"
    return os.fsencode(path.absolute()), mark


def _changed(path: Path) -> int:
    told = path.stat()
    return max(told.st_mtime_ns, told.st_ctime_ns)


def _read_all(
    paths: Sequence[Path], progress: Callable[[int, int], object] | None
) -> Iterator[str]:
    if len(paths) == 1:  # no threads for the files of artifacts, which come one at a time
        yield _read(paths[0])
        return
    with ThreadPoolExecutor(min(_READERS, os.cpu_count() or 1)) as readers:
        for done, found in enumerate(readers.map(_read, paths), 1):
            yield found
            if progress is not None:
                progress(done, len(paths))


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _recall(marks: set[tuple[bytes, str]]) -> None:
    """Look up what earlier processes have read."""
    wanted = list(marks)
    for start in range(0, len(wanted), _ASKED):
        asked = dict(wanted[start : start + _ASKED])
        for path, mark, sha256 in _with_memory(partial(_look_up, [*asked])) or ():
            if asked[path] == mark:
                _known[path, mark] = sha256


def _look_up(paths: list[bytes], memory: sqlite3.Connection) -> list[tuple[bytes, str, str]]:
    holes = ", ".join("?" * len(paths))
    query = f"SELECT path, mark, sha256 FROM files WHERE path IN ({holes})"
    return memory.execute(query, paths).fetchall()


def _keep(read: dict[tuple[bytes, str], str]) -> None:
    if not read:
        return

    def write(memory: sqlite3.Connection) -> None:
        with memory:
            if memory.execute("SELECT count(*) FROM files").fetchone()[0] > _MOST:
                memory.execute("DELETE FROM files")
            rows = [(path, mark, found) for (path, mark), found in read.items()]
            memory.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)

    _with_memory(write)


def _with_memory(use: Callable[[sqlite3.Connection], _T]) -> _T | None:
    """Use the database; None if it is not to be had: then files are read again, no more."""
    path = cache_folder() / _FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A connection for each use: it must not be shared with threads or forked processes.
        with closing(sqlite3.connect(path, timeout=10)) as memory:
            memory.execute("PRAGMA synchronous = OFF")
            memory.execute(_TABLE)
            return use(memory)
    except sqlite3.OperationalError as error:  # no such place, read-only, locked for long
        _log.info("Checksums are not remembered in %s: %s", path, error)
    except sqlite3.DatabaseError as error:
        _log.warning("%s is damaged (%s) and begins anew.", path, error)
        with suppress(OSError):  # where it may not be deleted, files are read again each time
            path.unlink(missing_ok=True)
    except OSError as error:
        _log.info("Checksums are not remembered in %s: %s", path, error)
    return None
