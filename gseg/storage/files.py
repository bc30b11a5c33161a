"""Files of a storage: written whole or not at all, listed with checksums, fetched and compared."""

import errno
import hashlib
import json
import shutil
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from gseg.storage.mirror import describe, fetch, is_here, is_published, names, publish
from gseg.storage.objects import StorageError


class DiskFullError(StorageError):
    """There is no room for a file."""


def write_atomically(path: Path, content: bytes, *, shared: bool = True) -> None:
    """Write a file so that it is either whole or absent, whatever happens.

    Args:
        path: Its name; an older file is replaced.
        content: What it will hold.
        shared: See `replacing`.

    Raises:
        DiskFullError: The disk is full.
        StorageError: The object store does not answer.
        OSError: It cannot be written for another reason.
    """
    with replacing(path, shared=shared) as part:
        part.write_bytes(content)


@contextmanager
def replacing(path: Path, *, shared: bool = True) -> Iterator[Path]:
    """Offer a temporary name beside a file and rename it to the file at the end.

    Args:
        path: The final name.
        shared: Whether the file is uploaded first if it mirrors an object; otherwise it stays on
            this machine.

    Yields:
        The name to write to.

    Raises:
        DiskFullError: The disk is full.
        StorageError: The object store does not answer.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        if shared:
            publish(part, path)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        if _is_full(error):
            raise DiskFullError(_full(path, part)) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def _is_full(error: OSError | SafetensorError) -> bool:
    """Whether an error says that there is no space; safetensors says so in words alone."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"os error {errno.ENOSPC}" in str(error)


def _full(path: Path, part: Path) -> str:
    """Say what does not fit, and how much there is."""
    written = part.stat().st_size if part.exists() else 0
    free = shutil.disk_usage(path.parent).free + written
    return (
        f"The disk is full: {path} needs more than the {free / 2**20:,.1f} MiB that are left. Make "
        "room, or choose another --storage; the same command goes on from here."
    )


def publish_folder(folder: Path, *, leave_out: Collection[str]) -> dict[str, dict[str, Any]]:
    """List a folder's files; fetch those that other machines wrote, upload what is only here.

    Args:
        folder: With everything below it; names that begin with a point are left out.
        leave_out: Further names to leave out.

    Returns:
        ``bytes`` and ``sha256`` of each file by its path in the folder.
    """
    files = {}
    for path in (folder / name for name in names(folder)):
        if path.name not in leave_out and not (path.exists() and is_published(path)):
            fetch(path, again=True)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and path.name not in leave_out:
            if not is_published(path):
                publish(path, path)
            about = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            files[path.relative_to(folder).as_posix()] = about
    return files


def fetch_folder(folder: Path, manifest: str) -> bool:
    """Copy a folder from the object store, the file that lists its files last.

    Args:
        folder: Mirrors the objects.
        manifest: Name of a JSON file whose ``files`` are what `publish_folder` gave.

    Returns:
        False if there is no such list.

    Raises:
        StorageError: The object store does not answer, or a file is not what the list says.
    """
    part = folder / f".{uuid.uuid4().hex}" / manifest
    if not fetch(folder / manifest, into=part):
        return False
    for name, about in json.loads(part.read_text())["files"].items():
        path = folder / name
        if not (is_here(path) and _sha256(path) == about["sha256"]):
            fetch(path, again=True)
        if not path.exists() or _sha256(path) != about["sha256"]:
            raise StorageError(
                f"{describe(path)} is damaged: it is not what the manifest beside it says. Delete "
                f"{describe(folder)}: it will be made again."
            )
    part.replace(folder / manifest)
    part.parent.rmdir()
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
