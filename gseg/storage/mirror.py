"""Folders that mirror an object store: ``s3://bucket/prefix`` as an ordinary path.

The code of stages writes and reads files. With a storage on S3 those files lie in a folder of this
machine, ``<cache>/s3:/bucket/prefix/...``, and its path says where they belong: whatever is written
there atomically (`gseg.storage.files.replacing`) is uploaded before it appears under its name, and
whatever somebody else has uploaded is fetched when it is asked for. The objects are the truth, the
folder is a copy that may be deleted whenever nothing runs. On a path without ``s3:`` all functions
work on the file itself. Whatever asks an object store raises `StorageError` if it does not answer.

An object is there whole or not at all, and is seen by everybody as soon as its upload has ended
(S3 has been consistent in this sense since December 2020).
"""

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

_MARK: Final = "s3:"
_USED: Final = ".used"  # its time is that of the last use of a folder's files
_ABSENT: Final = frozenset({"404", "NoSuchKey", "NotFound"})
_ATTEMPTS: Final = 8
# Of a temporary file in a copy of an object store, which another process may be at: it fetches
# whatever it lacks, without a lease.
_FETCHED_SECONDS: Final = 3600.0
# What folders of some file systems say to fsync.
_NO_FSYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})


class StorageError(ValueError):
    """The storage cannot be used; the message says where and why, in one line."""


@dataclass(frozen=True, slots=True)
class Place:
    """An object, or the common beginning of several.

    Attributes:
        bucket: Its bucket.
        key: Its name there.
    """

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def client() -> Any:  # noqa: ANN401
    """Give this process's connection; credentials, region and endpoint are boto3's."""
    return _client(os.getpid())  # a connection must not be shared with a forked process


@lru_cache(maxsize=1)
def _client(_process: int) -> Any:  # noqa: ANN401
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "max_attempts": _ATTEMPTS}
    return boto3.client("s3", config=Config(retries=retries))


@contextmanager
def answers(place: Place) -> Iterator[None]:
    """Turn what can go wrong with an object store into one line that says where.

    Raises:
        FileNotFoundError: There is no such object.
        StorageError: Anything else.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        if error_code(error) in _ABSENT:
            raise FileNotFoundError(str(place)) from error
        raise StorageError(f"Cannot use {place}: {error}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise StorageError(f"Cannot use {place}: {error}") from error


def error_code(error: Any) -> str:  # noqa: ANN401
    """Give the code of botocore's ClientError, such as ``404``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def storage_folder(place: str) -> Path:
    """Give the folder of a storage, which may not exist yet.

    Args:
        place: A path, or ``s3://bucket/prefix``, whose folder is in the cache.

    Raises:
        ValueError: The address is of another kind, or names no bucket; no system has such a path.
    """
    if "\0" in place:  # a file system says so only when a file is opened, and not which
        raise ValueError(f"Cannot use {place!r} as storage: a path has no null character.")
    scheme, found, rest = place.partition("://")
    if not found:
        return Path(place)
    parts = [part for part in rest.split("/") if part]
    if scheme != "s3" or not parts:
        raise ValueError(
            f"Cannot use {place!r} as storage: give a folder, or s3://bucket/prefix. Other object "
            "stores that speak S3 are named by the environment's AWS_ENDPOINT_URL."
        )
    return cache_folder().joinpath(_MARK, *parts)


def cache_folder() -> Path:
    """Give the folder of all copies: the environment's GSEG_CACHE, or ``~/.cache/gseg``."""
    named = os.environ.get("GSEG_CACHE") or "~/.cache/gseg"
    return Path(named).expanduser().absolute()


@contextmanager
def copies_locked(*, shared: bool) -> Iterator[None]:
    """Keep this machine's other processes from removing copies, or from marking them as used.

    Args:
        shared: Whether several may hold the lock, as those that mark copies; who removes some
            holds it alone.
    """
    with locked(cache_folder() / ".lock", shared=shared):
        yield


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock among this machine's processes; it ends with the process that holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def place_of(path: Path) -> Place | None:
    """Say which object a file mirrors; None for an ordinary file."""
    parts = path.parts
    if _MARK not in parts:
        return None
    bucket, *key = parts[len(parts) - parts[::-1].index(_MARK) :]
    return Place(bucket, "/".join(key))


def describe(path: Path) -> str:
    """Name a file or folder for people: by its address, if it mirrors one."""
    return str(place_of(path) or path)


def is_here(path: Path) -> bool:
    """Say whether a file is here; a copy is marked as used, so that it stays for a while."""
    if place_of(path) is None:
        return path.exists()
    with copies_locked(shared=True):
        if not path.exists():
            return False
        # Beside it: a file that is touched would have to be read again to know its content.
        path.with_name(_USED).touch()
    return True


def last_use(path: Path) -> float:
    """Say when a copy was made or found for the last time, in seconds since 1970.

    Raises:
        FileNotFoundError: It is not here.
    """
    made = path.stat().st_mtime
    with suppress(FileNotFoundError):
        return max(made, path.with_name(_USED).stat().st_mtime)
    return made


def exists(path: Path) -> bool:
    """Say whether a file is here or in the object store."""
    return path.exists() or _stored_size(path) is not None


def is_published(path: Path) -> bool:
    """Say whether a file that is here is in the object store in the same size, if it mirrors one.

    The size alone is asked for: an object has no checksum that a file could be compared with.
    """
    return place_of(path) is None or _stored_size(path) == path.stat().st_size


def _stored_size(path: Path) -> int | None:
    """Bytes of the object that a file mirrors; None if there is none."""
    head = _head(path)
    return None if head is None else int(head["ContentLength"])


def version(path: Path) -> str | None:
    """Name the present content of the object that a file mirrors; None if there is none."""
    head = _head(path)
    return None if head is None else _version(head["ETag"], head["ContentLength"])


def _head(path: Path) -> dict[str, Any] | None:
    place = place_of(path)
    if place is not None:
        with suppress(FileNotFoundError), answers(place):
            head: dict[str, Any] = client().head_object(Bucket=place.bucket, Key=place.key)
            return head
    return None


def _version(tag: str, size: int) -> str:
    return f"{tag.strip(chr(34))} {size}"


def fetch(path: Path, *, again: bool = False, into: Path | None = None) -> bool:
    """Make sure that a file is here if it is in the object store.

    Args:
        path: The file.
        again: Take the object's present content though there is a copy: for files that change.
        into: Where the copy goes instead, if not to its own name.

    Returns:
        Whether the file is here now.
    """
    place = place_of(path)
    copy = into or path
    if place is None:
        return copy.exists()
    if not again and is_here(copy):
        return True
    copy.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(copy)
    try:
        with answers(place):
            client().download_file(place.bucket, place.key, str(part))
        put_in_place(part, copy)
    except FileNotFoundError:
        copy.unlink(missing_ok=True)
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def part_of(path: Path) -> Path:
    """Give a temporary name beside a file, to write to until all of it is there."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")


def put_in_place(part: Path, path: Path) -> None:
    """Rename a file that has been written; after a power cut, too, it is whole or not there."""
    # Without this a file system may keep the new name and lose the content.
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
    try:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


def remove_parts(folder: Path) -> None:
    """Remove what killed processes were writing; for who holds the lease of an artifact."""
    oldest = time.time() - (_FETCHED_SECONDS if place_of(folder) else 0.0)
    for part in folder.rglob(".*.part"):
        with suppress(FileNotFoundError):
            if part.is_file() and part.stat().st_mtime <= oldest:
                part.unlink()


def read_end(path: Path, count: int) -> bytes:
    """Read the last bytes of an object, or all of a shorter one, without a copy of all of it.

    Raises:
        FileNotFoundError: There is no such object, or the file mirrors none.
    """
    place = place_of(path)
    if place is None:
        raise FileNotFoundError(path)
    with answers(place):
        found = client().get_object(Bucket=place.bucket, Key=place.key, Range=f"bytes=-{count}")
        content: bytes = found["Body"].read()
    return content


def publish(file: Path, path: Path) -> None:
    """Upload a file to where `path` belongs, in one step for whoever looks, if that is anywhere."""
    place = place_of(path)
    if place is not None:
        with answers(place):
            client().upload_file(str(file), place.bucket, place.key)


def discard(path: Path) -> None:
    """Delete a file or a folder, here and in the object store; it may be absent."""
    place = place_of(path)
    if place is not None:
        with answers(place):
            for key in (place.key, *(f"{place.key}/{name}" for name in names(path))):
                client().delete_object(Bucket=place.bucket, Key=key)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def names(folder: Path) -> list[str]:
    """List paths below a folder that its object store has; nothing if the folder mirrors none."""
    return [*object_versions(folder)]


def object_versions(folder: Path) -> dict[str, str]:
    """List paths below a folder that its object store has, and what each holds; see `version`."""
    return {name: _version(item["ETag"], item["Size"]) for name, item in _objects(folder)}


def listed_files(folder: Path, *, here: bool = False) -> dict[str, tuple[int, float]]:
    """List paths of all files below a folder, in the object store if it mirrors one.

    Args:
        folder: Where.
        here: List copies on this machine, of which there may be none.

    Returns:
        Of each its bytes, and when it was written, in seconds since 1970.

    Raises:
        OSError: A folder cannot be read.
        StorageError: The object store does not answer.
    """
    if place_of(folder) is not None and not here:
        return {
            name: (int(item["Size"]), item["LastModified"].timestamp())
            for name, item in _objects(folder)
        }
    found, seen = {}, set()

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # gone this moment
            raise error

    # People move a folder to a larger disk, and leave a link.
    for above, below, files in os.walk(folder, onerror=refuse, followlinks=True):
        root = Path(above)
        with suppress(OSError):
            about = root.stat()
            if (about.st_dev, about.st_ino) in seen:  # by a link that leads back
                below.clear()
                continue
            seen.add((about.st_dev, about.st_ino))
        beginning = "" if root == folder else f"{root.relative_to(folder).as_posix()}/"
        for name in files:
            with suppress(OSError):  # gone this moment, or a link to nothing or itself
                about = (root / name).stat()
                found[beginning + name] = (about.st_size, about.st_mtime)
    return found


def _objects(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through what an object store has below a folder; nothing if the folder mirrors none."""
    place = place_of(folder)
    if place is None:
        return
    prefix = f"{place.key}/"
    with answers(place):
        pages = client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=place.bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                yield item["Key"][len(prefix) :], item
