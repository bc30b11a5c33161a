"""Download the weights of published generators that have a direct address.

A download continues where it was interrupted. No checksums of these files are published, so the
one of the first download is written beside the file and later downloads are held against it.
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from gseg.generators.catalogue import list_generators, unknown_name
from gseg.generators.contract import GeneratorCard
from gseg.generators.embedded import embedded_cards
from gseg.generators.reading import check_file

_CHUNK: Final = 2**20
_TIMEOUT: Final = 60.0
_PARTIAL: Final = 206
_COMPLETE: Final = 416
Progress = Callable[[int, int | None], None]


def fetch_weights(name: str, folder: Path | str, *, progress: Progress | None = None) -> Path:
    """Download the weights of a published generator into a folder.

    Args:
        name: Catalogue name.
        folder: Where to; give it to `load_generator` as environment variable ``GSEG_WEIGHTS``.
        progress: Called with the bytes so far and, where known, in all.

    Returns:
        The path of the file, ``<name>`` with the published suffix; there at once if it was there.

    Raises:
        ValueError: The name is unknown, there is no direct address, the download failed, or the
            file is not what it was when it was first fetched.
    """
    card = _find(name)
    folder = Path(folder)
    if not card.address:
        raise ValueError(
            f"{name} has no direct address. Fetch it by hand: {card.weights}. Save it as "
            f"{folder / name}.pth."
        )
    path = folder / f"{name}{PurePosixPath(urlsplit(card.address).path).suffix}"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        _download(card.address, part, progress)
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        reason = getattr(error, "reason", None) or error
        raise ValueError(
            f"{name} could not be fetched from {card.address}: {reason}. Run the same again to "
            "continue, or fetch the file by hand."
        ) from error
    try:
        check_file(part)
        _check_sum(part, path.with_name(f"{path.name}.sha256"))
    except ValueError:
        part.unlink()
        raise
    part.replace(path)
    return path


def _find(name: str) -> GeneratorCard:
    for card in list_generators("published"):
        if card.name == name:
            return card
    for card in embedded_cards():
        if card.name == name:
            raise ValueError(f"{name} ships with gseg: there is nothing to fetch.")
    raise ValueError(unknown_name(name))


def _download(address: str, part: Path, progress: Progress | None) -> None:
    """Fetch an address into a file, behind what the file holds already."""
    held = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={held}-"} if held else {}
    request = urllib.request.Request(address, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == _COMPLETE and held:
            return
        raise
    with response:
        if response.status != _PARTIAL:
            held = 0
        length = response.headers.get("Content-Length")
        total = held + int(length) if length is not None else None
        with part.open("ab" if held else "wb") as file:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                held += len(chunk)
                if progress is not None:
                    progress(held, total)
    if total is not None and held < total:
        raise http.client.IncompleteRead(b"", total - held)


def _check_sum(part: Path, record: Path) -> None:
    """Hold a file against the checksum of its first download, or record it."""
    digest = hashlib.sha256()
    with part.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    found = digest.hexdigest()
    if not record.exists():
        record.write_text(f"{found}\n")
        return
    expected = record.read_text().strip()
    if found != expected:
        raise ValueError(
            f"The file has the checksum {found}, but had {expected} when it was first fetched "
            f"({record}): it was changed at its source. Remove that record to accept it."
        )
