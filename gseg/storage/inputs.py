"""What users put into an object store, weights and benchmarks: one copy on each machine.

Several processes of a machine may ask at the same moment: one fetches, the others wait. An object
that has a checksum beside it, ``NAME.sha256`` as `sha256sum` writes it, is compared with that.
"""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gseg.storage.mirror import describe, exists, fetch, is_published, names, place_of
from gseg.storage.objects import StorageError

_SUM: Final = ".sha256"
_COMPLETE: Final = ".complete"
_LOCK: Final = ".gseg-lock"


def fetch_input(path: Path) -> bool:
    """Make sure that a file is here if it is in the object store, and is what its checksum says.

    Args:
        path: The file; nothing happens if it mirrors no object.

    Returns:
        Whether it is here.

    Raises:
        StorageError: The object store does not answer, or the file is not what its checksum says.
    """
    if place_of(path) is None or path.exists():
        return path.exists()
    with _alone(path.parent):
        if not path.exists() and fetch(path):
            _check(path)
        return path.exists()


def fetch_inputs(folder: Path) -> bool:
    """Make sure that all of a folder is here if it is in the object store.

    Args:
        folder: Nothing happens if it mirrors no objects, or all of it has been fetched before:
            who changes the objects deletes the copy.

    Returns:
        Whether there is such a folder.

    Raises:
        StorageError: See `fetch_input`.
    """
    complete = folder / _COMPLETE
    if place_of(folder) is None or complete.exists():
        return folder.is_dir()
    with _alone(folder):
        found = [] if complete.exists() else names(folder)
        for path in (folder / name for name in found if not name.endswith("/")):
            if not path.exists() or not is_published(path):
                fetch(path, again=True)
                _check(path)
        if found:
            complete.touch()
    return complete.exists()


def find_inputs(folder: Path, beginning: str) -> list[Path]:
    """List the files of a folder, here and in the object store, whose names begin so.

    Raises:
        StorageError: The object store does not answer.
    """
    found = {path.name for path in folder.glob(f"{beginning}*")}
    found |= {name for name in names(folder) if name.startswith(beginning) and "/" not in name}
    return [folder / name for name in sorted(found)]


def _check(path: Path) -> None:
    """Compare a file with the checksum beside it, if there is one."""
    record = path.with_name(path.name + _SUM)
    if path.suffix == _SUM or not exists(record):
        return
    fetch(record, again=True)
    wanted = record.read_text().split()[0].lower()
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        path.unlink()
        raise StorageError(
            f"{describe(path)} has the checksum {found}, expected {wanted} ({record.name} beside "
            "it): upload the file again, or correct its checksum."
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes of this machine out of a folder meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
