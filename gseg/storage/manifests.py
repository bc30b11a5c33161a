"""Manifests: what a finished artifact says of itself, and whether it is believed.

Nothing is taken from a storage before it fits: config and parents give the folder's name again, the
manifest fits its own checksum, and every file that it lists is there and has its checksum. So what
a disk, a person or another program has changed, or put under another name, is found out before it
enters a result, and is made again (`gseg.storage.damage`). Older versions wrote less: what they did
not write cannot be compared. It is taken as it is, and counted (`told_doubts`).
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from gseg.storage.checksums import checksums, read_again
from gseg.storage.damage import DamagedError, is_damage, told_damage
from gseg.storage.digests import digest, is_digest
from gseg.storage.mirror import describe, fetch

MANIFEST: Final = "manifest.json"
"""Name of the file that an artifact is complete with."""
ABOUT: Final = "_about.json"
"""What a set of samples says of itself: it grows, and so has no manifest. Whoever reads its folder
as one table passes over a name that begins so."""
OLDER_ABOUT: Final = "about.json"
"""Its name in older versions."""
OLDER: Final = "they are of an older version, and taken as they are"
"""What is said of files that cannot be compared."""
_SEAL: Final = "checksum"
# All that manifests without a checksum of their own have.
_OLDER: Final = frozenset(
    {*("stage", "version", "config", "parents", "facts", "files"), "seconds", "device"}
    | {"versions", "created"}
)
# What reading something else raises, whatever it is made of.
_NO_MANIFEST: Final = (ValueError, TypeError, KeyError, AttributeError)
# Folder and content of manifests that this process has compared with their files.
_believed: Final[set[tuple[Path, str]]] = set()
_doubts: Final[dict[str, dict[Path, None]]] = {}


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Add a checksum to what a small JSON file is to say; see `is_whole`."""
    return {**content, _SEAL: digest(content)}


def is_whole(content: Mapping[str, Any]) -> bool | None:
    """Say whether what a JSON file says fits its checksum; None if it has none."""
    if _SEAL not in content:
        return None
    told = {name: value for name, value in content.items() if name != _SEAL}
    return bool(content[_SEAL] == digest(told))


def read_manifest(folder: Path, *, file: Path | None = None) -> dict[str, Any]:
    """Read a finished artifact's manifest, after it has been compared with its files.

    Args:
        folder: Of the artifact. One under another name than a storage gives is a copy that
            somebody has made, and not compared.
        file: Where the manifest is meanwhile, if not in the folder.

    Raises:
        FileNotFoundError: There is none: the artifact is not finished.
        DamagedError: It is not to be believed; the message says why.
    """
    try:
        text = (file or folder / MANIFEST).read_bytes()
        key = (folder, hashlib.sha256(text).hexdigest())
        manifest = json.loads(text)
        reason = None if key in _believed else why_not(folder, manifest)
    except UnicodeEncodeError:  # a name that is none in UTF-8
        raise
    except _NO_MANIFEST:
        reason = f"{describe(folder / MANIFEST)} is damaged: it is no manifest."
    except OSError as error:
        if not is_damage(error):
            raise
        what = Path(error.filename) if error.filename else folder
        reason = f"{describe(what)} is damaged: it cannot be read ({error.strerror})."
    if reason is not None:
        raise DamagedError(reason)
    _believed.add(key)
    found: dict[str, Any] = manifest
    return found


def recheck(*only: Path) -> list[str]:
    """Compare what this process believes with its files once more, and give what is damaged.

    For an error of a reader: what it read may have been damaged since it was compared.

    Args:
        *only: Folders of artifacts; all that it believes without them.
    """
    folders = dict.fromkeys(each for each, _ in _believed if not only or each in only)
    _believed.difference_update([key for key in _believed if key[0] in folders])
    damaged = []
    for folder in folders:
        try:
            with suppress(FileNotFoundError):  # discarded since, or a copy of an object that is
                for name in listed((folder / MANIFEST).read_bytes()):
                    with suppress(OSError):
                        # What a disk has lost changes no time, by which checksums are remembered.
                        read_again(folder / name)
                read_manifest(folder)
        except DamagedError as error:
            damaged.append(str(error))
    return damaged


def fetch_about(folder: Path) -> Path | None:
    """Give the file in which a set of samples says what it is, here; None if there is none."""
    return next(filter(fetch, (folder / ABOUT, folder / OLDER_ABOUT)), None)


def listed(text: bytes) -> dict[str, str]:
    """Give the checksum of each file that a manifest lists; none if it cannot be read."""
    with suppress(*_NO_MANIFEST):
        return {name: about["sha256"] for name, about in json.loads(text)["files"].items()}
    return {}


def why_not(folder: Path, manifest: Mapping[str, Any]) -> str | None:
    """Say why an artifact is not to be believed, in a sentence; None if it is."""
    place, named = describe(folder / MANIFEST), folder.absolute()
    whole = is_whole(manifest)
    if whole is False or (whole is None and manifest.keys() != _OLDER):
        return f"{place} is damaged: it does not fit its own checksum."
    told = (manifest["stage"], manifest["version"], manifest["config"], manifest["parents"])
    if not is_digest(named.name):
        return None
    if digest(*told) != named.name or named.parent.name != manifest["stage"]:
        return f"{place} belongs to another artifact: {manifest['stage']} {digest(*told)}."
    wanted = {folder / name: about["sha256"] for name, about in manifest["files"].items()}
    missing = next((path for path in wanted if not path.is_file()), None)
    if missing is not None:
        return f"{describe(missing)} is missing."
    for path, found in zip(wanted, checksums(list(wanted)), strict=True):
        # What a machine remembers of a file may be damaged itself.
        if found != wanted[path] and read_again(path) != wanted[path]:
            return f"{describe(path)} is damaged: it is not what the manifest beside it says."
    if whole is None:
        note_doubt(f"manifests have no checksum of their own: {OLDER}", folder)
    return None


def note_doubt(what: str, path: Path) -> None:
    """Note that something is taken, or left out, that cannot be compared.

    Args:
        what: What there are several of, and what becomes of them.
        path: Which one; each counts once.
    """
    _doubts.setdefault(what, {})[path] = None


def told_doubts() -> list[str]:
    """Say what this process has noted and not told: damage, and each kind of `note_doubt`."""
    told = told_damage() + [
        f"{len(paths):,} {what}, such as {describe(next(iter(paths)))}."
        for what, paths in sorted(_doubts.items())
    ]
    _doubts.clear()
    return told
