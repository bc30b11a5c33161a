"""The folder of this machine's copies of object stores, and the lock that its processes share."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_LOCK: Final = ".lock"


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
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
