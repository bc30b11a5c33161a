"""A limit for the copies of an object store that a machine keeps: the least recently used go.

What a running trial uses is never removed: every trial notes when it began (`trial_runs`), and all
that it finds or fetches is marked as used then (`gseg.storage.mirror`). Nor is a file that is not
in the object store in the same size. Whatever has been removed is fetched again by whoever needs
it.
"""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gseg.storage.leases import is_gone, process_identity
from gseg.storage.manifests import MANIFEST
from gseg.storage.mirror import cache_folder, copies_locked, is_published, last_use, place_of

_VARIABLE: Final = "GSEG_CACHE_GIB"
# Of the disk's space that is free or the cache's own, if no limit is set.
_SHARE: Final = 0.5
_RECENT_SECONDS: Final = 600.0
_RUNNING: Final = "running"


@contextmanager
def trial_runs(storage: Path) -> Iterator[None]:
    """Keep what is used from here on, and make room first if the limit is exceeded.

    Args:
        storage: Of the trial; nothing happens if it mirrors no object store.

    Raises:
        ValueError: The environment's GSEG_CACHE_GIB is no number of GiB.
    """
    if place_of(storage) is None:
        yield
        return
    note = cache_folder() / _RUNNING / f"{uuid.uuid4().hex}.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"process": process_identity(), "since": time.time()}))
    try:
        trim_cache(storage, cache_limit(storage))
        yield
    finally:
        note.unlink(missing_ok=True)


def cache_limit(storage: Path) -> int:
    """Give the bytes that copies may take: GSEG_CACHE_GIB, or half of what the disk could give.

    Raises:
        ValueError: GSEG_CACHE_GIB is no number of GiB.
    """
    named = os.environ.get(_VARIABLE)
    if not named:
        storage.mkdir(parents=True, exist_ok=True)
        own = sum(size for size, _ in _files(storage).values())
        return int(_SHARE * (shutil.disk_usage(storage).free + own))
    try:
        gib = float(named)
    except ValueError:
        gib = -1.0
    if not gib > 0:
        raise ValueError(f"{_VARIABLE} is {named!r}, expected GiB above 0, such as 200.")
    return int(gib * 2**30)


def trim_cache(storage: Path, limit: int) -> int:
    """Remove copies until they take at most `limit` bytes, the least recently used artifact first.

    Returns:
        Bytes that were removed.
    """
    files = _files(storage)
    too_much = sum(size for size, _ in files.values()) - limit
    if too_much <= 0:
        return 0
    artifacts: dict[tuple[str, ...], list[Path]] = {}
    for path in files:
        artifacts.setdefault(path.relative_to(storage).parts[:2], []).append(path)
    barrier, removed = _used_since(), 0
    for paths in sorted(artifacts.values(), key=lambda each: max(files[path][1] for path in each)):
        if removed >= too_much:
            break
        removed += _remove(paths, barrier)
    return removed


def _remove(paths: list[Path], barrier: float) -> int:
    """Remove the copies of one artifact, unless any was used since the barrier."""
    published = [path for path in paths if path.exists() and is_published(path)]
    removed = 0
    with copies_locked(shared=False):
        there = {path: path.stat() for path in paths if path.exists()}
        if any(last_use(path) >= barrier for path in there):
            return removed
        # The manifest first: without it an artifact is not taken for complete.
        for path in sorted(published, key=lambda each: each.name != MANIFEST):
            if path in there:
                path.unlink(missing_ok=True)
                removed += there[path].st_size
    return removed


def _files(storage: Path) -> dict[Path, tuple[int, float]]:
    """Give size and last use of every copy; files that only this machine has are among them."""
    found = {}
    for path in storage.rglob("*"):
        try:
            about = path.stat()
        except FileNotFoundError:
            continue
        if path.is_file() and not path.name.startswith("."):
            found[path] = (about.st_size, last_use(path))
    return found


def _used_since() -> float:
    """Say from which time on what was used stays."""
    # That since the oldest running trial of this machine began; and that of the last minutes, for
    # jobs that work for a trial elsewhere.
    barrier = time.time() - _RECENT_SECONDS
    for note in (cache_folder() / _RUNNING).glob("*.json"):
        try:
            running = json.loads(note.read_text())
            gone, since = is_gone(running["process"]), float(running["since"])
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # ended or began this moment
            continue
        if gone:
            note.unlink(missing_ok=True)
        else:
            barrier = min(barrier, since)
    return barrier
