"""Weights files: which ones a catalogue name stands for right now, and how they are fetched.

The digest is part of the hash of all that is made. A download continues where it was interrupted.
No checksums of the published files are known, so the one of the first download is written beside
the file and later downloads are held against it.
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import cache
from importlib.resources import as_file
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import urlsplit

from gseg.downloads import check_file
from gseg.generators.cards import WEIGHTS_SUFFIX, GeneratorCard, embedded_cards, shipped_folder
from gseg.generators.catalogue import (
    check_known,
    find_weights,
    list_generators,
    load_generator,
    missing_weights,
    own_file,
    unknown_name,
)
from gseg.storage.callables import callable_digest
from gseg.storage.checksums import file_digest
from gseg.storage.digests import digest
from gseg.storage.files import read_text
from gseg.storage.mirror import put_in_place

_CHUNK: Final = 2**20
_TIMEOUT: Final = 60.0  # seconds without a byte
# HTTP's words for: here is the part that was asked for; there is nothing behind what is held.
_PARTIAL: Final = 206
_COMPLETE: Final = 416
Progress = Callable[[int, int | None], None]


def weights_digest(name: str, checkpoint: Path | None = None) -> str:
    """Hash a generator's weights file.

    Args:
        name: Catalogue name, or the file and function of a generator of the user's own.
        checkpoint: Weights file of a published generator; see
            `gseg.generators.catalogue.load_generator`.

    Returns:
        20 hexadecimal digits; ``none`` for a generator in closed form. Of the user's own, the
        Python file is hashed together with all parameters and buffers of the network.

    Raises:
        ValueError: The weights are not there, or a network of the user's own has other ones each
            time that it is made.
    """
    check_known(name)
    if name.startswith("analytic."):
        return "none"
    embedded = shipped_folder() / f"{name}{WEIGHTS_SUFFIX}"
    if embedded.is_file():
        with as_file(embedded) as shipped:
            return file_digest(shipped)
    if own_file(name) is not None:
        return _own_digest(name, callable_digest(name))
    path = checkpoint or find_weights(name)
    if path is None:
        raise ValueError(missing_weights(name))
    return file_digest(path)


@cache
def _own_digest(name: str, code: str) -> str:
    # Made twice: an unseeded network would give every process samples of its own.
    weights, again = _tensors_digest(name), _tensors_digest(name)
    if weights != again:
        raise ValueError(
            f"{name} makes a network with other weights each time, expected the same ones: read "
            "them from a file, or seed their start."
        )
    return digest(code, weights)


def _tensors_digest(name: str) -> str:
    import torch

    hashed = hashlib.sha256()
    for key, tensor in sorted(load_generator(name).state_dict().items()):
        hashed.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()[:20]


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
    card, folder = _find(name), Path(folder)
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
        part.unlink()  # the next attempt would go on from bytes that are not those of the file
        raise
    put_in_place(part, path)
    return path


def _find(name: str) -> GeneratorCard:
    published = {card.name: card for card in list_generators("published")}
    if name in published:
        return published[name]
    if name in {card.name for card in embedded_cards()}:
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
        if response.status != _PARTIAL:  # the server sends all of it again
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
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not record.exists():
        record.write_text(f"{found}\n")
        return
    expected = read_text(record).strip()
    if found != expected:
        raise ValueError(
            f"The file has the checksum {found}, but had {expected} when it was first fetched "
            f"({record}): it was changed at its source. Remove that record to accept it."
        )
