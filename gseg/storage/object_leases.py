"""Leases on an object store; see `gseg.storage.leases` for those on a disk.

The lease is an object that is created only if there is none (``If-None-Match: *``), and that its
holder replaces every few seconds only while it is still his (``If-Match``), so that its content
changes. Whoever finds it unchanged for long, by the store's own clock, replaces it by his own
under the same condition: of several that try, one succeeds. With S3, and with stores that honour
these conditions, there is never more than one holder, but for one that was silent for
`EXPIRY_SECONDS` and comes back: it notices at its next heartbeat and says so.

A store that refuses conditions is used without: then two processes that come within the same
moment may both hold the lease. Nothing breaks even so, since both write the same objects.
"""

import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

from gseg.storage.objects import Place, StorageError, answers, client, error_code
from gseg.storage.processes import is_gone, process_identity

_log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 10.0
EXPIRY_SECONDS: Final = 60.0
"""A lease without a heartbeat for this long belongs to nobody any more."""
_POLL_SECONDS: Final = 2.0
_TAKEN: Final = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
_UNKNOWN: Final = frozenset({"501", "NotImplemented", "405", "MethodNotAllowed"})


@contextmanager
def object_lease(
    place: Place, unless: Callable[[], bool] | None = None, poll: float | None = None
) -> Iterator[bool]:
    """Hold an object for oneself; see `gseg.storage.leases.lease`.

    Args:
        place: The object.
        unless: See there.
        poll: See there.

    Yields:
        Whether the lease is held.

    Raises:
        StorageError: The object store does not answer.
    """
    mine = ObjectLease(place, {"id": uuid.uuid4().hex, "process": process_identity()})
    while not mine.create():
        if unless is not None and unless():
            yield False
            return
        holding = mine.read()
        if holding is not None and holding.is_abandoned and mine.take_over(holding):
            break
        if holding is not None:
            time.sleep(_POLL_SECONDS if poll is None else poll)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(mine, stop), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        stop.set()
        heart.join()
        mine.release()


def _beat(lease: "ObjectLease", stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            if not lease.beat():
                return
        except StorageError as error:  # it may answer again before the lease has expired
            _log.warning("No heartbeat: %s", error)


@dataclass(frozen=True, slots=True)
class Holding:
    """A lease that somebody holds.

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
        return self.silent > EXPIRY_SECONDS or is_gone(self.token["process"])


class ObjectLease:
    """The lease of one folder of an object store, as one process sees it.

    Args:
        place: Its object.
        token: Says who asks, as JSON values, with an ``id`` of its own.
    """

    def __init__(self, place: Place, token: Mapping[str, Any]) -> None:
        self._place, self._token = place, dict(token)
        self._beats = 0
        self._mark = ""

    def create(self) -> bool:
        """Take the lease if nobody holds it."""
        return self._write(IfNoneMatch="*")

    def read(self) -> Holding | None:
        """See who holds the lease; None if nobody does."""
        try:
            with answers(self._place):
                found = client().get_object(Bucket=self._place.bucket, Key=self._place.key)
                content = json.loads(found["Body"].read())
        except FileNotFoundError:
            return None
        now = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
        return Holding(content, found["ETag"], (now - found["LastModified"]).total_seconds())

    def take_over(self, abandoned: Holding) -> bool:
        """Replace a lease that belongs to nobody any more; of several that try, one succeeds."""
        taken = self._write(IfMatch=abandoned.mark)
        if taken:
            _log.info("Took over the lease of a process that ended: %s", self._place)
        return taken

    def beat(self) -> bool:
        """Say that the holder is alive; False if the lease is somebody else's."""
        if self._write(IfMatch=self._mark):
            return True
        _log.warning("The lease %s was taken away while in use.", self._place)
        return False

    def release(self) -> None:
        """Let go of the lease."""
        holding = self.read()
        if holding is not None and holding.token["id"] == self._token["id"]:
            with answers(self._place):
                client().delete_object(Bucket=self._place.bucket, Key=self._place.key)

    def _write(self, **condition: str) -> bool:
        """Write the lease under a condition; False if that does not hold."""
        from botocore.exceptions import ClientError

        self._beats += 1
        content = json.dumps({**self._token, "beat": self._beats}).encode()
        target = {"Bucket": self._place.bucket, "Key": self._place.key, "Body": content}
        with answers(self._place):
            try:
                written = client().put_object(**target, **condition)
            except ClientError as error:
                code = error_code(error)
                if code in _TAKEN or (code in ("404", "NoSuchKey") and "IfMatch" in condition):
                    return self._is_mine()
                if code not in _UNKNOWN:
                    raise
                written = self._write_plainly(target, condition)
        self._mark = str(written["ETag"]) if written else self._mark
        return written is not None

    def _is_mine(self) -> bool:
        """See whether the condition failed for an earlier attempt that had been carried out."""
        holding = self.read()
        if holding is None or holding.token["id"] != self._token["id"]:
            return False
        self._mark = holding.mark
        return True

    def _write_plainly(
        self, target: Mapping[str, Any], condition: Mapping[str, str]
    ) -> Mapping[str, Any] | None:
        """Look whether the condition holds, and write: nearly as good."""
        holding = self.read()
        mark = None if holding is None else holding.mark
        if mark != condition.get("IfMatch"):
            return None
        written: Mapping[str, Any] = client().put_object(**target)
        return written
