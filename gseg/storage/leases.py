"""Leases: at most one process works in a folder, and a dead one does not block it.

A lease is a file that is created exclusively, says who holds it, and is kept fresh by a heartbeat.
It ends when its holder releases it, when its holder's process is gone (seen at once on the same
machine) or when whoever waits has seen no heartbeat for long (on another machine). The waiting
process counts that time itself, from when it first saw the lease as it is: what clocks of other
machines say, and what times they leave on files, does not matter. Should a lease be lost all the
same, nothing breaks: files are replaced atomically by equal files. In a folder that mirrors an
object store the lease is an object, see `gseg.storage.object_leases`.
"""

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gseg.storage.mirror import place_of
from gseg.storage.object_leases import object_lease
from gseg.storage.processes import is_gone, process_identity

_log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 5.0
EXPIRY_SECONDS: Final = 60.0
"""A lease without a heartbeat for this long belongs to nobody any more."""
_POLL_SECONDS: Final = 0.2
_FILE: Final = "lease.json"


@contextmanager
def lease(
    folder: Path, *, unless: Callable[[], bool] | None = None, poll: float | None = None
) -> Iterator[bool]:
    """Hold a folder for oneself, waiting until whoever holds it has finished or died.

    Args:
        folder: Created if needed.
        unless: Asked again and again while waiting: whether the folder's holder has already
            left what one waits for.
        poll: Seconds between two looks while waiting; None for what suits the place.

    Yields:
        Whether the lease is held: False if `unless` came true first.

    Raises:
        StorageError: The folder mirrors an object store, which does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = place_of(folder / _FILE)
    if place is None:
        held = _file_lease(folder / _FILE, unless, _POLL_SECONDS if poll is None else poll)
    else:
        held = object_lease(place, unless, poll)
    with held as is_held:
        yield is_held


@contextmanager
def _file_lease(path: Path, unless: Callable[[], bool] | None, poll: float) -> Iterator[bool]:
    token = json.dumps({"id": uuid.uuid4().hex, "process": process_identity()})
    watch = _Watch(path)
    while not _create(path, token):
        if unless is not None and unless():
            yield False
            return
        if watch.finds_it_abandoned():
            _evict(path)
        else:
            time.sleep(poll)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        stop.set()
        heart.join()
        if _read(path) == token:
            path.unlink(missing_ok=True)


def _create(path: Path, token: str) -> bool:
    """Create the lease with its content in one step; False if there is one."""
    part = path.with_name(f".lease.{uuid.uuid4().hex}")
    part.write_text(token)
    try:
        os.link(part, path)  # unlike rename, fails when the name is taken
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


class _Watch:
    """Looks again and again at a lease that somebody else holds.

    Args:
        path: The lease.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def finds_it_abandoned(self) -> bool:
        """Say whether the holder is gone, or has been silent since the first look for too long."""
        token = _read(self._path)  # reading makes a network file system ask for the newest times
        if token is None:
            return False
        try:
            seen = token, self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        silent = now - self._since
        return silent > EXPIRY_SECONDS or is_gone(json.loads(token)["process"])


def _evict(path: Path) -> None:
    """Remove an abandoned lease; of several that try, one succeeds."""
    aside = path.with_name(f".lease.{uuid.uuid4().hex}")
    stale = _read(path)
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read(aside) != stale:  # somebody else was faster and holds it now: give it back
        _give_back(aside, path)
    aside.unlink(missing_ok=True)
    _log.info("Took over the lease of a process that ended: %s", path.parent)


def _give_back(aside: Path, path: Path) -> None:
    """Put a lease back unless a third process has created one in between."""
    try:
        os.link(aside, path)
    except FileExistsError:
        _log.warning("Two processes may work on %s; both write the same files.", path.parent)


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(path)
        except FileNotFoundError:
            _log.warning("The lease %s was taken away while in use.", path)
            return
