"""Files of a storage: written whole or not at all; and what users put into an object store.

Of the latter, weights and benchmarks, a machine has one copy. Several of its processes may ask at
the same moment: one fetches, the others wait. An object that has a checksum beside it,
``NAME.sha256`` as `sha256sum` writes it, is compared with that. Whatever asks an object store
raises `StorageError` if it does not answer.
"""

import errno
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors import SafetensorError

from gseg.storage import mirror
from gseg.storage.checksums import checksum
from gseg.storage.mirror import StorageError

_SUM: Final = ".sha256"
_COMPLETE: Final = ".complete"  # the folder has been fetched whole
_LOCK: Final = ".gseg-lock"


class DiskFullError(StorageError):
    """There is no room for a file."""


def write_atomically(path: Path, content: bytes, *, shared: bool = True) -> None:
    """Write a file so that it is either whole or absent, whatever happens; see `replacing`."""
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
    wanted, found = record.read_text().split()[0].lower(), checksum(path)
    if found != wanted:
        path.unlink()
        raise StorageError(
            f"{mirror.describe(path)} has the checksum {found}, expected {wanted} ({record.name} "
            "beside it): upload the file again, or correct its checksum."
        )
