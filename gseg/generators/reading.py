"""Read the tensors of a weights file without running anything that is in it."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

_SNIFFED: Final = 512
_WRAPPER: Final = "module."


def check_file(path: Path) -> None:
    """Check that a path is a file of plausible content.

    Raises:
        ValueError: It is missing, empty, or a web page.
    """
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; check the path.")
    with path.open("rb") as stream:
        start = stream.read(_SNIFFED).lstrip().lower()
    if not start:
        raise ValueError(f"{path} is empty; download it again.")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ValueError(
            f"{path} is a web page, not weights: the address led to a download page; open it in a "
            "browser and save the file that it offers."
        )


def read_tensors(path: Path, weights_at: str | None) -> dict[str, Tensor]:
    """Read the tensors of a file that torch.save wrote.

    Args:
        path: The file.
        weights_at: Entry of the file that holds them; None to take ``state_dict`` or
            ``generator`` if there is one, else the file itself.

    Returns:
        The tensors by name, on the CPU; a wrapper's ``module.`` before every name is taken off.

    Raises:
        ValueError: The file cannot be read safely, or has no tensors there.
    """
    content = _load(path)
    if isinstance(content, Mapping):
        content = _pick(path, content, weights_at)
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"{path} holds a {type(content).__name__}, expected named tensors.")
    others = [key for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(
            f"{path} holds more than tensors ({', '.join(map(str, others[:5]))}): name the entry "
            "with the generator's weights in checkpoint.weights_at."
        )
    if all(key.startswith(_WRAPPER) for key in content):
        return {key.removeprefix(_WRAPPER): value for key, value in content.items()}
    return dict(content)


def _load(path: Path) -> object:
    """Unpickle tensors and plain containers only."""
    check_file(path)
    try:
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:GLOBAL|global) (\S+)", str(error))
        reason = f"it asks for {found[1]}" if found else str(error).splitlines()[0]
        raise ValueError(
            f"{path} is not a plain file of tensors, and is refused: {reason}. A StyleGAN2 pickle "
            "needs family 'stylegan2' in its config; any other file is damaged or unsafe."
        ) from error
    except (RuntimeError, OSError, EOFError, KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"{path} is damaged or cut short ({path.stat().st_size:,} bytes; "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}): download it "
            "again."
        ) from error
    return content


def _pick(path: Path, content: Mapping[str, object], weights_at: str | None) -> object:
    """Take the entry with the weights."""
    if weights_at in content:
        return content[str(weights_at)]
    if weights_at is not None and "itself" not in weights_at:
        raise ValueError(
            f"{path} has no entry '{weights_at}': it has {', '.join(map(str, list(content)[:8]))}."
        )
    for entry in ("state_dict", "generator"):
        if weights_at is None and isinstance(content.get(entry), Mapping):
            return content[entry]
    return content
