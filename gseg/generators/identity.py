"""Which weights a catalogue name stands for right now: part of the hash of all that is made."""

import hashlib
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from gseg.generators.catalogue import find_weights
from gseg.generators.own import own_file

_CHUNK = 2**22


def weights_digest(name: str, checkpoint: Path | None = None) -> str:
    """Hash a generator's weights file.

    Args:
        name: Catalogue name, or the file and function of a generator of the user's own.
        checkpoint: Weights file of a published generator; see `load_generator`.

    Returns:
        20 hexadecimal digits; ``none`` for a generator in closed form. Of the user's own, the
        Python file is hashed, not what it may read.

    Raises:
        ValueError: The weights are not there.
    """
    if name.startswith("analytic."):
        return "none"
    embedded = files("gseg.scenes") / "weights" / f"{name}.safetensors"
    if embedded.is_file():
        with as_file(embedded) as shipped:
            return _digest(shipped, shipped.stat().st_mtime_ns)
    own = own_file(name)
    if own is not None and not own.is_file():
        raise ValueError(f"{own}: there is no such file; check the path before the colon.")
    path = checkpoint or own or find_weights(name)
    if path is None:
        raise ValueError(
            f"The weights of {name} are not here: put the file into the folder that GSEG_WEIGHTS "
            f"names, as {name}.pth or with its own suffix."
        )
    return _digest(path, path.stat().st_mtime_ns)


@cache
def _digest(path: Path, _modified: int) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()[:20]
