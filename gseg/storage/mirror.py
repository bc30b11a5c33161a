"""Folders that mirror an object store: ``s3://bucket/prefix`` as an ordinary path.

The code of stages writes and reads files. With a storage on S3 those files lie in a folder of this
machine, ``<cache>/s3:/bucket/prefix/...``, and its path says where they belong: whatever is written
there atomically (`gseg.storage.store.replacing`) is uploaded before it appears under its name, and
whatever somebody else has uploaded is fetched when it is asked for. The objects are the truth, the
folder is a copy that may be deleted whenever nothing runs. On a path without ``s3:`` all functions
work on the file itself.

An object is there whole or not at all, and is seen by everybody as soon as its upload has ended
(S3 has been consistent in this sense since December 2020).
"""

import os
import shutil
import uuid
from pathlib import Path
from typing import Final

from gseg.storage.copies import cache_folder, copies_locked
from gseg.storage.objects import (
    Place,
    StorageError,
    answers,
    client,
    has_object,
    object_names,
)

__all__ = [
    "Place",
    "StorageError",
    "describe",
    "discard",
    "exists",
    "fetch",
    "is_here",
    "is_published",
    "names",
    "place_of",
    "publish",
    "read_end",
    "storage_folder",
]

_MARK: Final = "s3:"


def storage_folder(place: str) -> Path:
    """Give the folder of a storage.

    Args:
        place: A path, or ``s3://bucket/prefix``, whose folder is in the cache: in that of the
            environment's GSEG_CACHE, or in ``~/.cache/gseg``.

    Returns:
        The folder; it may not exist yet.

    Raises:
        ValueError: The address is of another kind, or names no bucket.
    """
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
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
    return True


def exists(path: Path) -> bool:
    """Say whether a file is here or in the object store.

    Raises:
        StorageError: The object store does not answer.
    """
    place = place_of(path)
    return path.exists() or (place is not None and has_object(place))


def fetch(path: Path, *, again: bool = False, into: Path | None = None) -> bool:
    """Make sure that a file is here if it is in the object store.

    Args:
        path: The file.
        again: Take the object's present content though there is a copy: for files that change.
        into: Where the copy goes instead, if not to its own name.

    Returns:
        Whether the file is here now.

    Raises:
        StorageError: The object store does not answer.
    """
    place = place_of(path)
    copy = into or path
    if place is None:
        return copy.exists()
    if not again and is_here(copy):
        return True
    copy.parent.mkdir(parents=True, exist_ok=True)
    part = copy.with_name(f".{copy.name}.{uuid.uuid4().hex}.part")
    try:
        with answers(place):
            client().download_file(place.bucket, place.key, str(part))
        part.replace(copy)
    except FileNotFoundError:
        copy.unlink(missing_ok=True)
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def read_end(path: Path, count: int) -> bytes:
    """Read the end of an object without a copy of all of it.

    Args:
        path: A file that mirrors it.
        count: Bytes to read; all of a shorter object.

    Raises:
        FileNotFoundError: There is no such object, or the file mirrors none.
        StorageError: The object store does not answer.
    """
    place = place_of(path)
    if place is None:
        raise FileNotFoundError(path)
    with answers(place):
        found = client().get_object(Bucket=place.bucket, Key=place.key, Range=f"bytes=-{count}")
        content: bytes = found["Body"].read()
    return content


def publish(file: Path, path: Path) -> None:
    """Upload a file, in one step for whoever looks.

    Args:
        file: What to upload.
        path: Where it belongs; nothing happens if that mirrors nothing.

    Raises:
        StorageError: The object store does not answer or refuses.
    """
    place = place_of(path)
    if place is not None:
        with answers(place):
            client().upload_file(str(file), place.bucket, place.key)


def discard(path: Path) -> None:
    """Delete a file or a folder, here and in the object store; it may be absent.

    Raises:
        StorageError: The object store does not answer or refuses.
    """
    place = place_of(path)
    if place is not None:
        with answers(place):
            keys = [place.key, *(f"{place.key}/{name}" for name in object_names(place))]
            for key in keys:
                client().delete_object(Bucket=place.bucket, Key=key)
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def names(folder: Path) -> list[str]:
    """List what an object store has below a folder; nothing if the folder mirrors none.

    Returns:
        Paths in the folder.

    Raises:
        StorageError: The object store does not answer.
    """
    place = place_of(folder)
    if place is None:
        return []
    with answers(place):
        return object_names(place)


def is_published(path: Path) -> bool:
    """Say whether a file that is here is in the object store in the same size, if it mirrors one.

    Raises:
        StorageError: The object store does not answer.
    """
    place = place_of(path)
    if place is None:
        return True
    try:
        with answers(place):
            head = client().head_object(Bucket=place.bucket, Key=place.key)
    except FileNotFoundError:
        return False
    return bool(head["ContentLength"] == path.stat().st_size)
