"""Processes as others see them: who is it, and is it still there?"""

import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any


def process_identity() -> dict[str, Any]:
    """Name this process, as JSON values."""
    pid = os.getpid()
    return {"host": _host(), "pid": pid, "started": _started(pid)}


def is_gone(process: Mapping[str, Any]) -> bool:
    """Say whether a process has ended; False where that cannot be seen from here.

    Args:
        process: From `process_identity` of that process.
    """
    return bool(process["host"] == _host() and _started(process["pid"]) != process["started"])


@cache
def _host() -> str:
    """Name a set of processes that can see each other: machine, boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = namespace = ""
    return f"{platform.node()}/{boot}/{namespace}"


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if it is gone (or a zombie)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "unknown" if not Path("/proc/self").exists() and _is_alive(pid) else None
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
