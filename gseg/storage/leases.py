"""Leases: at most one process works in a folder, and a dead one does not block it.

A lease says who holds it, and is kept fresh by a heartbeat. It ends when its holder releases it,
when its holder's process is gone (seen at once on the same machine) or when there was no heartbeat
for long (on another machine). Should a lease be lost all the same, nothing breaks: files are
replaced atomically by equal files.

On a disk (`_FileLease`) it is a file that is created exclusively: with its content in one step
where there are hard links, else (FUSE, exFAT, SMB) empty, and filled at once. One that stays empty
or is cut off says nothing of its holder, and expires soon.

On an object store (`ObjectLease`) it is an object that is created only if there is none
(``If-None-Match: *``), and that its holder replaces every few seconds only while it is still his
(``If-Match``), so that its content changes. Whoever finds it unchanged for long, by the store's own
clock, replaces it by his own under the same condition: of several that try, one succeeds. With S3,
and with stores that honour these conditions, there is never more than one holder, but for one that
was silent for `EXPIRY_SECONDS` and comes back: it notices at its next heartbeat and says so.
"""

import errno
import json
import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

from gseg.storage.mirror import (
    Place,
    StorageError,
    answers,
    client,
    error_code,
    place_of,
    remove_parts,
)

_log = logging.getLogger(__name__)

LEASE: Final = "lease.json"
EXPIRY_SECONDS: Final = 60.0
"""A lease without a heartbeat for this long belongs to nobody any more."""
# One that says nothing of its holder: who is still alive finds at his next heartbeat that he has
# lost it, and who was creating it has filled it long before.
_EMPTY_SECONDS: Final = 10.0
# What file systems without hard links say to one.
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
)
_TAKEN: Final = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
_UNKNOWN: Final = frozenset({"501", "NotImplemented", "405", "MethodNotAllowed"})
# By the clock of who looks, which may be another machine's: clocks differ by less.
_SILENT_SECONDS: Final = 3600.0


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
    place, token = place_of(folder / LEASE), {"id": uuid.uuid4().hex, "process": process_identity()}
    mine = _FileLease(folder / LEASE, token) if place is None else ObjectLease(place, token)
    while not mine.create():
        if unless is not None and unless():
            yield False
            return
        if mine.succeed():
            break
        time.sleep(mine.poll_seconds if poll is None else poll)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(mine, stop), daemon=True)
    heart.start()
    try:
        remove_parts(folder)
        yield True
    finally:
        stop.set()
        heart.join()
        mine.release()


def _beat(mine: "_FileLease | ObjectLease", stop: threading.Event) -> None:
    while not stop.wait(mine.heartbeat_seconds):
        try:
            if not mine.beat():
                _log.warning("The lease %s was taken away while in use.", mine.place)
                return
        except StorageError as error:  # it may answer again before the lease has expired
            _log.warning("No heartbeat: %s", error)


class _FileLease:
    """A lease on a disk.

    Args:
        path: Its file.
        token: Says who asks, as JSON values, with an ``id`` of its own.
    """

    heartbeat_seconds = 5.0
    poll_seconds = 0.2

    def __init__(self, path: Path, token: Mapping[str, Any]) -> None:
        self.place, self._token = path, json.dumps(token)
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    def create(self) -> bool:
        """Take the lease if nobody holds it."""
        # Whoever held it before may have removed the folder.
        self.place.parent.mkdir(parents=True, exist_ok=True)
        return create_alone(self.place, self._token)

    def succeed(self) -> bool:
        """Take the lease if its holder is gone or was silent for too long."""
        if not self._is_abandoned():
            return False
        self._evict()
        return self.create()

    def beat(self) -> bool:
        """Say that the holder is alive; False if the lease is somebody else's."""
        if _read(self.place) != self._token:
            return False
        with suppress(FileNotFoundError):
            os.utime(self.place)
        return True

    def release(self) -> None:
        """Let go of the lease, if it is still one's own."""
        if _read(self.place) == self._token:
            self.place.unlink(missing_ok=True)

    def _is_abandoned(self) -> bool:
        """Whether the holder is gone, or has been silent since the first look for too long."""
        token = _read(self.place)  # reading makes a network file system ask for the newest times
        if token is None:
            return False
        try:
            seen = token, self.place.stat().st_mtime_ns
        except FileNotFoundError:
            return False
        # Whoever waits counts the silence himself, from when he first saw the lease as it is: what
        # clocks of other machines say, and what times they leave on files, does not matter.
        now = time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        holder = _holder(token)
        return now - self._since > _patience(holder) or _is_gone(holder)

    def _evict(self) -> None:
        """Remove an abandoned lease; of several that try, one succeeds."""
        aside, stale = _aside(self.place), _read(self.place)
        try:
            self.place.rename(aside)
        except FileNotFoundError:
            return
        token = _read(aside)
        # Somebody else was faster and holds it now: give it back, unless a third has created one.
        if token is not None and token != stale and not create_alone(self.place, token):
            _log.warning(
                "Two processes may work on %s; both write the same files.", self.place.parent
            )
        aside.unlink(missing_ok=True)
        _log.info("Took over the lease of a process that ended: %s", self.place.parent)


def is_held(folder: Path) -> bool:
    """Say whether a process seems to work in a folder, without waiting for its next heartbeat.

    Raises:
        StorageError: The folder mirrors an object store, which does not answer.
    """
    path = folder / LEASE
    place = place_of(path)
    if place is not None:
        holding = ObjectLease(place, {}).read()
        return holding is not None and not holding.is_abandoned
    token = _read(path)
    if token is None or _is_gone(_holder(token)):
        return False
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime < _SILENT_SECONDS
    return False


def create_alone(path: Path, content: str) -> bool:
    """Create a file unless there is one of that name; of several that try, one succeeds.

    Returns:
        Whether it is this one's.

    Raises:
        OSError: It cannot be written.
    """
    part = _aside(path)
    part.write_text(content)
    try:
        os.link(part, path)  # unlike rename, fails when the name is taken
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _create_without_links(path, content)
    finally:
        part.unlink()
    return True


def _create_without_links(path: Path, content: str) -> bool:
    try:
        file = path.open("x")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
    except OSError:  # no room: an empty file would keep others waiting
        path.unlink(missing_ok=True)
        raise
    # Whoever was stopped in between, for longer than an empty file is waited for, has lost it.
    return _read(path) == content


def _aside(path: Path) -> Path:
    return path.with_name(f".lease.{uuid.uuid4().hex}")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def _holder(token: str | bytes) -> Mapping[str, Any]:
    """Read who holds a lease; nothing where that was not written, or not to the end."""
    try:
        found = json.loads(token)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _patience(holder: Mapping[str, Any]) -> float:
    """Say for how many seconds a silent holder is waited for."""
    return EXPIRY_SECONDS if holder else min(_EMPTY_SECONDS, EXPIRY_SECONDS)


@dataclass(frozen=True, slots=True)
class Holding:
    """A lease on an object store that somebody holds.

    Attributes:
        token: Who.
        mark: Names this content of the object.
        silent: Seconds since the last heartbeat.
    """

    token: Mapping[str, Any]
    mark: str
    silent: float

    @property
    def is_abandoned(self) -> bool:
        """Whether the holder is gone or was silent for too long."""
        return self.silent > _patience(self.token) or _is_gone(self.token)


class ObjectLease:
    """A lease on an object store.

    Args:
        place: Its object.
        token: Says who asks, as JSON values, with an ``id`` of its own.
    """

    heartbeat_seconds = 10.0
    poll_seconds = 2.0

    def __init__(self, place: Place, token: Mapping[str, Any]) -> None:
        self.place, self._token = place, dict(token)
        self._beats = 0
        self._mark = ""

    def create(self) -> bool:
        """See `_FileLease`."""
        return self._write(IfNoneMatch="*")

    def read(self) -> Holding | None:
        """See who holds the lease; None if nobody does."""
        try:
            with answers(self.place):
                found = client().get_object(Bucket=self.place.bucket, Key=self.place.key)
                content = _holder(found["Body"].read())
        except FileNotFoundError:
            return None
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        return Holding(content, found["ETag"], (now - found["LastModified"]).total_seconds())

    def succeed(self) -> bool:
        """See `_FileLease`."""
        holding = self.read()
        if holding is None:
            return self.create()
        return holding.is_abandoned and self.take_over(holding)

    def take_over(self, abandoned: Holding) -> bool:
        """Replace a lease that belongs to nobody any more; of several that try, one succeeds."""
        taken = self._write(IfMatch=abandoned.mark)
        if taken:
            _log.info("Took over the lease of a process that ended: %s", self.place)
        return taken

    def beat(self) -> bool:
        """See `_FileLease`."""
        return self._write(IfMatch=self._mark)

    def release(self) -> None:
        """See `_FileLease`."""
        if self._is_mine():
            with answers(self.place):
                client().delete_object(Bucket=self.place.bucket, Key=self.place.key)

    def _write(self, **condition: str) -> bool:
        """Write the lease under a condition; False if that does not hold."""
        from botocore.exceptions import ClientError

        self._beats += 1
        content = json.dumps({**self._token, "beat": self._beats}).encode()
        target = {"Bucket": self.place.bucket, "Key": self.place.key, "Body": content}
        with answers(self.place):
            try:
                written = client().put_object(**target, **condition)
            except ClientError as error:
                code = error_code(error)
                if code in _TAKEN or (code in ("404", "NoSuchKey") and "IfMatch" in condition):
                    # It may have failed for an earlier attempt that had been carried out: boto3
                    # tries again when an answer is lost.
                    return self._is_mine()
                if code not in _UNKNOWN:
                    raise
                # The store refuses conditions. Look whether this one holds, and write: nearly as
                # good, but two processes that come within the same moment may both hold the lease.
                holding = self.read()
                if (holding.mark if holding else None) != condition.get("IfMatch"):
                    return False
                written = client().put_object(**target)
        self._mark = str(written["ETag"])
        return True

    def _is_mine(self) -> bool:
        holding = self.read()
        if holding is None or holding.token.get("id") != self._token["id"]:
            return False
        self._mark = holding.mark
        return True


def process_identity() -> dict[str, Any]:
    """Name this process, as JSON values."""
    pid = os.getpid()
    return {"host": _host(), "pid": pid, "started": _started(pid)}


def is_gone(process: Mapping[str, Any]) -> bool:
    """Say whether a process of that `process_identity` has ended; False where it cannot be seen."""
    return bool(process["host"] == _host() and _started(process["pid"]) != process["started"])


def _is_gone(token: Mapping[str, Any]) -> bool:
    process = token.get("process")
    return (
        isinstance(process, dict) and {"host", "pid", "started"} <= {*process} and is_gone(process)
    )


@cache
def _host() -> str:
    """Name a set of processes that can see each other: machine, boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = namespace = ""
    return f"{platform.node()}/{boot}/{namespace}"


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if it is gone (or a zombie)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "unknown" if not Path("/proc/self").exists() and psutil.pid_exists(pid) else None
    fields = status.rpartition(")")[2].split()  # a program's name may hold brackets and spaces
    return None if fields[0] in ("Z", "X") else fields[19]
