"""Files of a storage: written whole or not at all; and what users put into an object store.

Of the latter, weights and benchmarks, a machine has one copy. Several of its processes may ask at
the same moment: one fetches, the others wait. An object that has a checksum beside it,
``NAME.sha256`` as `sha256sum` writes it, is compared with that. Whatever asks an object store
raises `StorageError` if it does not answer.
"""

import codecs
import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors import SafetensorError

from gseg.storage import mirror
from gseg.storage.checksums import checksum
from gseg.storage.digests import digest
from gseg.storage.mirror import StorageError

# Bytes; file systems allow 255, and suffixes and a temporary name come to it.
_LONGEST_NAME: Final = 160
_SUM: Final = ".sha256"
_COMPLETE: Final = ".complete"  # the folder has been fetched whole
_LOCK: Final = ".gseg-lock"


class DiskFullError(StorageError):
    """There is no room for a file."""


def write_atomically(path: Path, content: bytes, *, shared: bool = True) -> None:
    """Write a file so that it is either whole or absent, whatever happens; see `replacing`."""
    with replacing(path, shared=shared) as part:
        part.write_bytes(content)


def file_name(text: str) -> str:
    """Reduce words to what may be the name of a file, and to no other words'.

    Letters, digits and ``_.-`` stay, and colons become dashes; where anything else had to go, or a
    file system would find it too long, a digest tells it from others.
    """
    name = re.sub(r"[^\w.-]", "-", text)
    if name == text.replace(":", "-") and len(name.encode()) <= _LONGEST_NAME:
        return name
    kept = name.encode()[: _LONGEST_NAME // 2].decode(errors="ignore")
    return f"{kept}-{digest(ascii(text))[:8]}"


def read_text(path: Path) -> str:
    """Read a text file that a person or another program wrote, in the encodings of editors.

    Those are UTF-8, with or without a byte order mark, and UTF-16 with one; lines may end as on any
    system.

    Raises:
        ValueError: It is in another encoding, or no text.
        OSError: It cannot be read.
    """
    content = path.read_bytes()
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path} is no text in UTF-8 (line {line} is not): save it in that encoding."
        ) from error
    if "\0" in text:
        raise ValueError(f"{path} is no text in UTF-8, it holds zeros: save it in that encoding.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_output(path: Path, *, folder: bool) -> None:
    """Find out before any work whether a file or folder can be written, leaving no trace.

    Args:
        path: Where; folders above it that are missing will be made.
        folder: Whether a folder is wanted, and not a file.

    Raises:
        ValueError: It is the other of the two, or cannot be written there.
    """
    kind, other = ("folder", "file") if folder else ("file", "folder")
    if path.exists() and path.is_dir() != folder:
        raise ValueError(f"{path} is a {other}, but a {kind} is to be written: choose another.")
    above = next(each for each in (path.absolute(), *path.absolute().parents) if each.exists())
    if not above.is_dir() and above != path.absolute():
        raise ValueError(f"{path} cannot be written: {above} is a file.")
    if not os.access(above, os.W_OK | (os.X_OK if above.is_dir() else 0)):
        raise ValueError(f"{path} cannot be written: no permission to write into {above}.")
    if path.is_symlink() and not path.exists():
        raise ValueError(f"{path} is a link to {path.readlink()}, which is not there.")


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
        OSError: It cannot be written for another reason.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        # Uploaded before it is renamed: what is here under its name is there, too.
        if shared:
            mirror.publish(part, path)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        if _is_full(error):
            written = part.stat().st_size if part.exists() else 0
            free = shutil.disk_usage(path.parent).free + written
            raise DiskFullError(
                f"The disk is full: {path} needs more than the {free / 2**20:,.1f} MiB that are "
                "left. Make room, or choose another --storage; the same command goes on from here."
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def _is_full(error: OSError | SafetensorError) -> bool:
    """Whether an error says that there is no space; safetensors says so in words alone."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"os error {errno.ENOSPC}" in str(error)


def fetch_input(path: Path) -> bool:
    """Make sure that a file is here if it is in the object store, and is what its checksum says.

    Returns:
        Whether it is here.

    Raises:
        StorageError: The file is not what its checksum says.
    """
    if mirror.place_of(path) is None or path.exists():
        return path.exists()
    with mirror.locked(path.parent / _LOCK):
        if not path.exists() and mirror.fetch(path):
            _check(path)
        return path.exists()


def fetch_inputs(folder: Path) -> bool:
    """Make sure that all of a folder is here if it is in the object store.

    What has been fetched before is not looked at again: who changes the objects deletes the copy.

    Returns:
        Whether there is such a folder.

    Raises:
        StorageError: See `fetch_input`.
    """
    complete = folder / _COMPLETE
    if mirror.place_of(folder) is None or complete.exists():
        return folder.is_dir()
    with mirror.locked(folder / _LOCK):
        found = [] if complete.exists() else mirror.names(folder)
        # A name that ends so is an empty object by which some programs mark a folder.
        for path in (folder / name for name in found if not name.endswith("/")):
            if not path.exists() or not mirror.is_published(path):
                mirror.fetch(path, again=True)
                _check(path)
        if found:
            complete.touch()
    return complete.exists()


def find_inputs(folder: Path, beginning: str) -> list[Path]:
    """List the files of a folder, here and in the object store, whose names begin so."""
    found = {path.name for path in folder.glob(f"{beginning}*")}
    found |= {n for n in mirror.names(folder) if n.startswith(beginning) and "/" not in n}
    return [folder / name for name in sorted(found)]


def _check(path: Path) -> None:
    """Compare a file with the checksum beside it, if there is one."""
    record = path.with_name(path.name + _SUM)
    if path.suffix == _SUM or not mirror.exists(record):
        return
    mirror.fetch(record, again=True)
    told = read_text(record).split()
    if not told:
        raise StorageError(f"{mirror.describe(record)} is empty: a checksum belongs there.")
    wanted, found = told[0].lower(), checksum(path)
    if found != wanted:
        path.unlink()
        raise StorageError(
            f"{mirror.describe(path)} has the checksum {found}, expected {wanted} ({record.name} "
            "beside it): upload the file again, or correct its checksum."
        )
