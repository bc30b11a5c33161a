"""The store: every stage's output lives under a name that is a hash of what it was made from.

``<root>/<stage>/<digest>/`` is complete when its ``manifest.json`` exists, and the manifest is
written last, by rename. The digest covers the stage's config, the digests of its parents and the
version of the stage's code; it leaves out where the stage ran and how long it took. Whoever finds
a finished piece uses it. Two processes never make the same piece at the same time: a lease, a
file created exclusively and kept fresh by a heartbeat, says who is at it. Should a lease be lost
all the same, nothing breaks: files are replaced atomically by equal files.
"""

import dataclasses
import errno
import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 5.0
EXPIRY_SECONDS: Final = 60.0
"""A lease without a heartbeat for this long belongs to nobody any more."""
_POLL_SECONDS: Final = 0.2
_VERSIONED: Final = ("gseg", "torch", "numpy", "ray")


class StorageError(ValueError):
    """The storage cannot be used; the message says where and why, in one line."""


def digest(*parts: object) -> str:
    """Name something by its content.

    Args:
        *parts: Dataclasses, mappings, sequences, strings, numbers, booleans and None, nested.

    Returns:
        20 hexadecimal digits, the same on every machine.

    Raises:
        TypeError: A part is of another type.
    """
    text = json.dumps(canonical(list(parts)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def canonical(value: object) -> object:
    """Reduce configs to plain JSON values.

    Args:
        value: See `digest`.

    Returns:
        The same content in dicts, lists, strings, numbers, booleans and None.

    Raises:
        TypeError: A part is of another type.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: canonical(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"Cannot name {type(value).__name__} by its content.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A finished stage output.

    Attributes:
        digest: Its name.
        folder: Where its files are.
        manifest: Config, parents, counts, seconds, versions and device.
        reused: Whether it was found rather than made.
    """

    digest: str
    folder: Path
    manifest: dict[str, Any]
    reused: bool

    @property
    def seconds(self) -> float:
        """How long making it took, whenever that was."""
        return float(self.manifest["seconds"])

    @property
    def facts(self) -> dict[str, Any]:
        """What the maker reported: counts and diagnostics."""
        return dict(self.manifest["facts"])


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of artifacts that any number of processes share.

    Attributes:
        root: The folder; on several machines a shared file system.
    """

    root: Path

    def check(self) -> None:
        """Make sure that the storage can be written.

        Raises:
            StorageError: It cannot.
        """
        probe = self.root / f".probe-{uuid.uuid4().hex}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(f"Cannot write to the storage {self.root}: {reason}.") from error

    def free_bytes(self) -> int:
        """Space left on the storage's disk."""
        return shutil.disk_usage(self.root).free

    def folder(self, stage: str, name: str) -> Path:
        """Say where an artifact is or will be."""
        return self.root / stage / name

    def find(self, stage: str, name: str) -> Artifact | None:
        """Open a finished artifact.

        Args:
            stage: Stage name.
            name: Digest.

        Returns:
            The artifact, or None while it is not complete.
        """
        folder = self.folder(stage, name)
        try:
            manifest = json.loads((folder / "manifest.json").read_text())
        except FileNotFoundError:
            return None
        return Artifact(digest=name, folder=folder, manifest=manifest, reused=True)

    def make(
        self,
        stage: str,
        *,
        version: int,
        config: object,
        parents: Sequence[str],
        build: Callable[[Path], Mapping[str, Any]],
        device: str = "cpu",
    ) -> Artifact:
        """Find a stage's output, or make it.

        Args:
            stage: Stage name; its folder.
            version: Raised whenever the stage's code changes what comes out.
            config: The stage's own settings; see `digest` for the types.
            parents: Digests of the outputs that it uses.
            build: Writes files into the folder that it is given, atomically or so that it can
                take up its own unfinished work, and returns facts for the manifest.
            device: Kind of device that it runs on, for the manifest.

        Returns:
            The finished artifact.
        """
        name = digest(stage, version, config, list(parents))
        found = self.find(stage, name)
        if found is not None:
            return found
        folder = self.folder(stage, name)
        with lease(folder, unless=lambda: self.find(stage, name) is not None) as held:
            found = self.find(stage, name)
            if found is not None:
                return found
            assert held
            started = time.monotonic()
            facts = canonical(build(folder))
            manifest = {
                "stage": stage,
                "version": version,
                "config": canonical(config),
                "parents": list(parents),
                "facts": facts,
                "seconds": round(time.monotonic() - started, 3),
                "device": device,
                "versions": versions(),
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1).encode())
        return Artifact(digest=name, folder=folder, manifest=manifest, reused=False)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or absent, whatever happens.

    Args:
        path: Its name; an older file is replaced.
        content: What it will hold.

    Raises:
        StorageError: The disk is full.
        OSError: It cannot be written for another reason.
    """
    with replacing(path) as part:
        part.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Offer a temporary name beside a file and rename it to the file at the end.

    Args:
        path: The final name.

    Yields:
        The name to write to.

    Raises:
        StorageError: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"The disk is full: cannot write {path}.") from error
        raise
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def lease(
    folder: Path, *, unless: Callable[[], bool] | None = None, poll: float = _POLL_SECONDS
) -> Iterator[bool]:
    """Hold a folder for oneself, waiting until whoever holds it has finished or died.

    Args:
        folder: Created if needed.
        unless: Asked again and again while waiting: whether the folder's holder has already
            left what one waits for.
        poll: Seconds between two looks while waiting.

    Yields:
        Whether the lease is held: False if `unless` came true first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lease.json"
    token = json.dumps({"id": uuid.uuid4().hex, "process": _process_identity()})
    while not _create(path, token):
        if unless is not None and unless():
            yield False
            return
        if _is_abandoned(path):
            _evict(path)
        else:
            time.sleep(poll)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(path, stop), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        stop.set()
        heart.join()
        if _read(path) == token:
            path.unlink(missing_ok=True)


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide what comes out."""
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _create(path: Path, token: str) -> bool:
    """Create the lease with its content in one step; False if there is one."""
    part = path.with_name(f".lease.{uuid.uuid4().hex}")
    part.write_text(token)
    try:
        os.link(part, path)  # unlike rename, fails when the name is taken
    except FileExistsError:
        return False
    finally:
        part.unlink()
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _is_abandoned(path: Path) -> bool:
    token = _read(path)
    if token is None:
        return False
    try:
        process = json.loads(token)["process"]
        silent = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False
    if silent > EXPIRY_SECONDS:
        return True
    mine = _process_identity()
    if process["host"] != mine["host"]:
        return False
    return bool(_started(process["pid"]) != process["started"])


def _evict(path: Path) -> None:
    """Remove an abandoned lease; of several that try, one succeeds."""
    aside = path.with_name(f".lease.{uuid.uuid4().hex}")
    stale = _read(path)
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if _read(aside) != stale:  # somebody else was faster and holds it now: give it back
        _give_back(aside, path)
    aside.unlink(missing_ok=True)
    _log.info("Took over the lease of a process that ended: %s", path.parent)


def _give_back(aside: Path, path: Path) -> None:
    """Put a lease back unless a third process has created one in between."""
    try:
        os.link(aside, path)
    except FileExistsError:
        _log.warning("Two processes may work on %s; both write the same files.", path.parent)


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        try:
            os.utime(path)
        except FileNotFoundError:
            _log.warning("The lease %s was taken away while in use.", path)
            return


@cache
def _host() -> str:
    """Name a set of processes that can see each other: machine, boot and process namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        boot = namespace = ""
    return f"{platform.node()}/{boot}/{namespace}"


def _process_identity() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": _host(), "pid": pid, "started": _started(pid)}


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
