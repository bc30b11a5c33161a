"""What is damaged in a storage: put aside, never deleted, and told in a line at a command's end.

Whatever turns out not to be what it should be counts as not there, so that whoever needs it makes
it again. The files go to ``<storage>/damaged/<stage>-<digest>-<n>/``, as people may know more of
them. An object store keeps none that are damaged: what is put aside are copies on this machine.
"""

import errno
import itertools
from contextlib import suppress
from pathlib import Path
from typing import Final

from gseg.storage import mirror
from gseg.storage.digests import is_digest
from gseg.storage.mirror import StorageError, describe

DAMAGED: Final = "damaged"
"""Folder of a storage, for what is put aside."""
# More than this are told of in one line.
_LINES: Final = 3
# A place of the disk that is lost, or a folder where a file should be.
_LOST: Final = frozenset({errno.EIO, errno.EISDIR, errno.ENOTDIR})
_found: Final[dict[Path, str]] = {}


def is_damage(error: Exception) -> bool:
    """Say whether a reader's error is about what a file holds, not rights, memory or names."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _LOST
    return not isinstance(error, UnicodeEncodeError | MemoryError)


class DamagedError(StorageError):
    """Something in a storage is not what it should be; the message names the file and says why."""


def note_damage(path: Path, reason: object) -> None:
    """Note that something is damaged and not used; see `told_damage`.

    Args:
        path: A file, or an artifact's folder; each counts once.
        reason: In a sentence that names the file.
    """
    _found.setdefault(path, str(reason))


def found_damage() -> dict[str, str]:
    """Give what this process has found damaged, path and reason, for another one to note."""
    found = {str(path): reason for path, reason in _found.items()}
    _found.clear()
    return found


def told_damage() -> list[str]:
    """Say what this process has found damaged and not told: a line each, or one for many."""
    # Of an object store, too, they are on this machine.
    told = [(reason, _home(path)[0] / DAMAGED) for path, reason in _found.items()]
    _found.clear()
    if len(told) > _LINES:
        reason, where = told[0]
        told = [
            (f"{len(told):,} artifacts or files are damaged, such as this one: {reason}", where)
        ]
    return [
        f"{reason} It is not used: put aside in {where}, and made again by the run that needs it."
        for reason, where in told
    ]


def put_aside(path: Path, reason: object, *, keep: str = "", read_only: bool = False) -> None:
    """Move what is damaged out of the way, and note it; what is gone by now is no error.

    Args:
        path: A file, or an artifact's folder, of which all goes that is in it.
        reason: In a sentence that names the file.
        keep: Name of a file in the folder that stays.
        read_only: Note it alone.

    Raises:
        StorageError: It cannot be moved; or the object store does not answer.
    """
    note_damage(path, reason)
    if read_only:
        return
    objects, moved = [path], [path]
    if path.is_dir():
        objects = [path / name for name in mirror.names(path) if name != keep]
    try:
        for each in objects:
            mirror.fetch(each)
        if path.is_dir():
            # Those that begin with a point are being written. The manifest goes last: while it is
            # there, nobody takes the others for work that was interrupted.
            there = (each for each in path.iterdir() if each.name != keep)
            moved = [each for each in there if not each.name.startswith(".")]
            moved.sort(key=lambda each: each.suffix == ".json")
        target = _new_folder(path)
        for each in moved:
            with suppress(FileNotFoundError):
                each.rename(target / each.name)
    except OSError as error:
        raise StorageError(
            f"{reason} It cannot be put aside ({error.strerror or error}): move {describe(path)} "
            "away, and run the same command again."
        ) from error
    for each in objects:
        if mirror.place_of(each) is not None:
            mirror.discard(each)


def _new_folder(path: Path) -> Path:
    """Make the folder for what is put aside."""
    storage, name = _home(path)
    (storage / DAMAGED).mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        target = storage / DAMAGED / f"{name}-{number}"
        with suppress(FileExistsError):
            target.mkdir()
            return target
    raise AssertionError


def _home(path: Path) -> tuple[Path, str]:
    """Give the storage that a file or an artifact's folder is in, and a name for what it is."""
    named = path.absolute()
    # An artifact may keep unfinished work in a folder that has a digest for a name, too.
    for folder in (named, *named.parents[:2]):
        if is_digest(folder.name) and not is_digest(folder.parent.name):
            return folder.parents[1], f"{folder.parent.name}-{folder.name}"
    return named.parents[1], named.parent.name  # a file of results, or of a copy of a set
