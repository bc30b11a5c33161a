"""The store: every stage's output lives under a name that is a hash of what it was made from.

``<root>/<stage>/<digest>/`` is complete when its ``manifest.json`` exists, and the manifest is
written last, by rename; on an object store, as an object (see `gseg.storage.mirror`). The digest
covers the stage's config, the digests of its parents and the version of the stage's code; it leaves
out where the stage ran and how long it took. Whoever finds a finished piece uses it, and a lease
(see `gseg.storage.leases`) keeps two processes from making the same piece at the same time.
"""

import errno
import importlib.metadata
import json
import logging
import os
import platform
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from gseg.storage import mirror
from gseg.storage.checksums import checksum
from gseg.storage.damage import DamagedError, note_damage, put_aside
from gseg.storage.digests import canonical, digest
from gseg.storage.files import write_atomically
from gseg.storage.leases import LEASE, create_alone, lease
from gseg.storage.manifests import MANIFEST, listed, read_manifest, sealed
from gseg.storage.mirror import StorageError, describe

_log = logging.getLogger(__name__)

_VERSIONED: Final = ("gseg", "torch", "numpy", "ray")
SHARD: Final = "shard"
"""Stage under which shards of samples are counted as built."""
_BUILDS: Final = "builds"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What it takes to make something.

    Attributes:
        seconds: One-thread seconds.
        disk_bytes: Space of the samples in it.
    """

    seconds: float = 0.0
    disk_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of artifacts that any number of processes share.

    Attributes:
        root: The folder; on several machines a shared file system.
        read_only: Nothing may be made.
    """

    root: Path
    read_only: bool = False

    def check(self) -> None:
        """Make sure that the storage can be written; if it is read-only, without trying.

        Raises:
            StorageError: It cannot.
        """
        where = describe(self.root)
        if self.read_only:
            there = self._nearest()
            if not (there.is_dir() and os.access(there, os.W_OK)):
                raise StorageError(f"Cannot write to the storage {where}: not into {there}.")
            return
        probe = self.root / f".probe-{uuid.uuid4().hex}"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            try:
                _try_out(probe)
                mirror.publish(probe, probe)
            finally:
                mirror.discard(probe)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StorageError(f"Cannot write to the storage {where}: {reason}.") from error

    def free_bytes(self) -> int:
        """Space left on the storage's disk; for an object store, on that of its copy here."""
        return shutil.disk_usage(self._nearest()).free

    def _nearest(self) -> Path:
        """Find the folder itself, or the one above it that is there."""
        root = self.root.absolute()
        return next(folder for folder in (root, *root.parents) if folder.exists())

    def folder(self, stage: str, name: str) -> Path:
        """Say where an artifact is or will be."""
        return self.root / stage / name

    def find(self, stage: str, name: str) -> Artifact | None:
        """Open an artifact, whose files are here then, and its own.

        Returns:
            None while it is not complete, or is damaged, which is noted.

        Raises:
            StorageError: The object store does not answer.
        """
        try:
            return self._find(stage, name)
        except DamagedError as error:
            note_damage(self.folder(stage, name), error)
            return None

    def _find(self, stage: str, name: str) -> Artifact | None:
        folder = self.folder(stage, name)
        manifest = _open(folder)
        if manifest is None:
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
        """Find a stage's output, or make it; one that is damaged is put aside and made again.

        Args:
            stage: Stage name; its folder.
            version: Raised whenever the stage's code changes what comes out.
            config: The stage's own settings; see `digest` for the types.
            parents: Digests of the outputs that it uses.
            build: Writes files into the folder that it is given, atomically or so that it can
                take up its own unfinished work, and returns facts for the manifest.
            device: Kind of device that it runs on, for the manifest.
        """
        assert not self.read_only
        name = digest(stage, version, config, list(parents))
        found = self.find(stage, name)  # without a lease, which takes requests of its own on S3
        if found is not None:
            return found
        folder = self.folder(stage, name)
        with lease(folder, unless=lambda: self.find(stage, name) is not None) as held:
            try:
                found = self._find(stage, name)  # made by whoever held the lease before
            except DamagedError as error:
                if not held:  # it was whole a moment ago
                    raise
                put_aside(folder, error, keep=LEASE)
            if found is not None:
                return found
            assert held
            started = time.monotonic()
            facts = canonical(build(folder))
            told = {
                "stage": stage,
                "version": version,
                "config": canonical(config),
                "parents": list(parents),
                "facts": facts,
                "files": _publish_folder(folder),
                "seconds": round(time.monotonic() - started, 3),
                "device": device,
                "versions": versions(),
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            manifest = sealed(told)
            # Last: with it the artifact counts as complete.
            write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1).encode())
            note_build(self.root, stage, name)
        return Artifact(digest=name, folder=folder, manifest=manifest, reused=False)


def _try_out(probe: Path) -> None:
    """Do what a run does to files: create one alone, replace it by another, see it on the disk."""
    first, second = (create_alone(probe, "") for _ in range(2))
    if not first or second:
        raise OSError(errno.ENOTSUP, "of two processes that create a file, both succeed there")
    part = probe.with_name(f"{probe.name}.part")
    try:
        with part.open("wb") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
        part.replace(probe)
    finally:
        part.unlink(missing_ok=True)


def _publish_folder(folder: Path) -> dict[str, dict[str, Any]]:
    """List a folder's files; fetch those that other machines wrote, upload what is only here.

    Returns:
        ``bytes`` and ``sha256`` of each file by its path in the folder; names that begin with a
        point, and the lease, are left out.
    """
    files = {}
    for path in (folder / name for name in mirror.names(folder)):
        if path.name != LEASE and not (path.exists() and mirror.is_published(path)):
            mirror.fetch(path, again=True)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and path.name != LEASE:
            if not mirror.is_published(path):
                mirror.publish(path, path)
            about = {"bytes": path.stat().st_size, "sha256": checksum(path)}
            files[path.relative_to(folder).as_posix()] = about
    return files


def bring_here(folder: Path) -> Path:
    """Make sure that a finished artifact's files are on this machine, and are its own.

    Args:
        folder: Of the artifact, as another machine may have named it.

    Returns:
        The same folder; without a manifest if the artifact is not finished.

    Raises:
        DamagedError: A file is not what the manifest says.
        StorageError: The object store does not answer.
    """
    _open(folder)
    return folder


def _open(folder: Path) -> dict[str, Any] | None:
    """Read an artifact's manifest, with its files here; None if it is not finished."""
    path = folder / MANIFEST
    if mirror.place_of(folder) is None:
        with suppress(FileNotFoundError):  # not finished, or discarded this moment
            return read_manifest(folder)
        return None
    if mirror.is_here(path):
        with suppress(FileNotFoundError, DamagedError):  # a copy that is damaged is fetched again
            return read_manifest(folder)
    # Aside until all files that it lists are here: with a manifest a folder counts as complete.
    part = folder / f".{uuid.uuid4().hex}" / MANIFEST
    try:
        if not mirror.fetch(path, into=part):
            return None
        for name, sha256 in listed(part.read_bytes()).items():
            file = folder / name
            if not (mirror.is_here(file) and checksum(file) == sha256):
                mirror.fetch(file, again=True)
        manifest = read_manifest(folder, file=part)
        mirror.put_in_place(part, path)
    finally:
        shutil.rmtree(part.parent, ignore_errors=True)
    return manifest


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


def note_build(storage: Path, stage: str, name: str) -> None:
    """Note that this process has computed something, in a file of its own below ``builds/``.

    What is found finished is not computed and leaves no line; what is computed again, since it was
    damaged or since two processes did not know of each other, leaves a second one. The record says
    nothing about results and may be deleted. On an object store each machine has that of its own
    processes.

    Args:
        storage: Folder of the artifacts.
        stage: Stage name; `SHARD` for a shard.
        name: Its digest; ``<digest of the set>/<number>`` for a shard.
    """
    path = storage / _BUILDS / f"{platform.node()}-{os.getpid()}.jsonl"
    line = {"stage": stage, "name": name, "at": round(time.time(), 3)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:  # a full disk; the work itself is done
        _log.warning("Not counted: %s %s (%s)", stage, name, error)


def count_builds(storage: Path) -> Counter[tuple[str, str]]:
    """Count how often everything was computed, by (stage, name): once each, if work is shared."""
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted((storage / _BUILDS).glob("*.jsonl")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
                counts[entry["stage"], entry["name"]] += 1
            # Cut off when its process was killed or the disk was full.
            except (ValueError, TypeError, KeyError):
                continue
    return counts
