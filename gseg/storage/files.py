"""Files of a storage: written whole or not at all; and what users put into an object store.

Of the latter, weights and benchmarks, a machine has one copy. Several of its processes may ask at
the same moment: one fetches, the others wait. An object that has a checksum beside it,
``NAME.sha256`` as `sha256sum` writes it, is compared with that. Whatever asks an object store
raises `StorageError` if it does not answer.
"""

import codecs
import errno
import json
import math
import os
import re
import shutil
import time
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
_KILO: Final = 1000  # 1,000 KiB are written as 0.98 MiB: never more than three digits
_TEN: Final = 10
_SUM: Final = ".sha256"
_COMPLETE: Final = ".complete"  # of which objects the files of a folder are copies
_LOCK: Final = ".gseg-lock"
# A process opens a set many times; whoever changes one between two commands is seen at once.
_ASK_AGAIN_SECONDS: Final = 60.0
_asked: Final[dict[Path, float]] = {}


class DiskFullError(StorageError):
    """There is no room for a file."""


class ChangedInputsError(StorageError):
    """Files of the user's have changed while they were worked with."""


def check_unchanged(what: str, found: str, planned: str) -> None:
    """Make sure that what is there is still what a trial was planned with.

    Args:
        what: Name for people.
        found: Its identity now.
        planned: That which the trial's names are made of; empty to take what is there.

    Raises:
        ChangedInputsError: It is not.
    """
    if planned and found != planned:
        raise ChangedInputsError(f"{what} has changed since the trial was planned: start again.")


def write_atomically(
    path: Path, content: bytes, *, shared: bool = True, durable: bool = True
) -> None:
    """Write a file so that it is either whole or absent, whatever happens; see `replacing`."""
    with replacing(path, shared=shared, durable=durable) as part:
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
def replacing(path: Path, *, shared: bool = True, durable: bool = True) -> Iterator[Path]:
    """Offer a temporary name beside a file and rename it to the file at the end.

    Args:
        path: The final name.
        shared: Whether the file is uploaded first if it mirrors an object; otherwise it stays on
            this machine.
        durable: Whether it reaches the disk before it is renamed, so that a power cut leaves none
            that is empty. Many small files that are written anew, or tell of a moment, need not.

    Yields:
        The name to write to.

    Raises:
        DiskFullError: The disk is full.
        OSError: It cannot be written for another reason.
    """
    part, room = mirror.part_of(path), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        room = shutil.disk_usage(path.parent).free
        yield part
        # Uploaded before it is renamed: what is here under its name is there, too.
        if shared:
            mirror.publish(part, path)
        if durable:
            mirror.put_in_place(part, path)
        else:
            part.replace(path)
    except (OSError, SafetensorError) as error:
        if is_full(error):
            raise _disk_full(path, room, error) from error
        raise
    finally:
        part.unlink(missing_ok=True)


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no space; safetensors says so in words alone."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, SafetensorError) and f"os error {errno.ENOSPC}" in str(error)


def _disk_full(path: Path, room: int, error: OSError | SafetensorError) -> DiskFullError:
    """Say that a file has no room on the disk of its folder; before it was begun, there was some."""
    if getattr(error, "errno", None) == errno.EDQUOT:
        reason = f"Your quota on the disk of {path.parent} is used up: no room for {path.name}."
    else:
        reason = f"The disk of {path.parent} is full: {path.name} needs more than the "
        reason += f"{format_bytes(room)} that are left."
    return DiskFullError(f"{reason} Make room there; the same command goes on from here.")


def format_bytes(count: float) -> str:
    """Write an amount of memory or of a disk for people, such as ``1.5 GiB``."""
    units = ["TiB", "GiB", "MiB", "KiB"]
    unit = "bytes"
    while round(count) >= _KILO and units:
        count, unit = count / 1024, units.pop()
    return f"{count:.2g} {unit}" if count < _TEN and unit != "bytes" else f"{count:,.0f} {unit}"


def fetch_input(path: Path) -> bool:
    """Make sure that a file is here if it is in the object store, and is what its checksum says.

    An object that has changed since it was fetched is fetched again, and what has been deleted
    there is deleted here; a file that was never there stays.

    Returns:
        Whether it is here.

    Raises:
        StorageError: The file is not what its checksum says, or the object store is silent.
    """
    if mirror.place_of(path) is None or _asked_lately(path):
        return path.exists()
    note = path.with_name(f".{path.name}.version")
    with mirror.locked(path.parent / _LOCK):
        there, noted = mirror.version(path), _noted(note).get(path.name)
        if there is not None and (there != noted or not path.exists()):
            _fetch(path)
            write_atomically(note, json.dumps({path.name: there}).encode(), shared=False)
        elif there is None and noted is not None:
            path.unlink(missing_ok=True)
            note.unlink()
    _asked[path] = time.monotonic()
    return path.exists()


def fetch_inputs(folder: Path) -> bool:
    """Make sure that all of a folder is here if it is in the object store.

    What has changed there since it was fetched is fetched again, what is gone there goes here.

    Returns:
        Whether there is such a folder.

    Raises:
        StorageError: See `fetch_input`.
    """
    complete = folder / _COMPLETE
    if mirror.place_of(folder) is None or _asked_lately(folder):
        return folder.is_dir()
    with mirror.locked(folder / _LOCK):
        found = mirror.object_versions(folder)
        # A name that ends so is an empty object by which some programs mark a folder.
        there = {name: version for name, version in found.items() if not name.endswith("/")}
        noted = _noted(complete)
        for name in noted.keys() - there.keys():
            (folder / name).unlink(missing_ok=True)
            del noted[name]
        try:
            for name, version in there.items():
                if noted.get(name) != version or not (folder / name).exists():
                    _fetch(folder / name)
                    noted[name] = version
        finally:  # who goes on does not begin anew
            if noted or complete.exists():
                write_atomically(complete, json.dumps(noted).encode(), shared=False)
    _asked[folder] = time.monotonic()
    return bool(there)


def _asked_lately(path: Path) -> bool:
    """Say whether this process has asked the store for it a moment ago."""
    return time.monotonic() - _asked.get(path, -math.inf) < _ASK_AGAIN_SECONDS


def _noted(file: Path) -> dict[str, str]:
    """Read of which objects the copies are; older versions noted of a folder only that it is."""
    try:
        noted = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        noted = None
    if isinstance(noted, dict):
        return noted
    below = (path for path in file.parent.rglob("[!.]*") if path.is_file())
    return {path.relative_to(file.parent).as_posix(): "" for path in below}


def _fetch(path: Path) -> None:
    if mirror.fetch(path, again=True):
        _check(path)


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
