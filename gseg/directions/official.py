"""Read the direction files of the two official programs.

lukemelas/unsupervised-image-segmentation saves ``latest.pth``: the vector below ``state_dict``,
beside a pickled OmegaConf configuration. anvoynov/BigGANsAreWatching saves a bare tensor. Nothing
in a file is run: PyTorch's weights-only reader does the work, and every class that it does not
know is replaced by an inert stand-in that keeps nothing.
"""

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from gseg.directions.direction import Direction

# What PyTorch's reader raises for a file that is none, is cut short, or asks for code.
_READ_ERRORS = (OSError, UnpicklingError, RuntimeError, EOFError, ValueError, KeyError)


def read_official_vector(path: str | Path) -> Tensor:
    """Read one vector.

    Args:
        path: ``latest.pth`` of the one program, or ``bg_direction.pth`` of the other.

    Returns:
        (D,) float32 on the CPU, divided by its norm.

    Raises:
        ValueError: The file is missing, damaged or holds something else; the message names it.
    """
    path = Path(path)
    try:
        content = _load_weights_only(path)
    except _READ_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"Cannot read direction file {path}: {reason}") from error
    if isinstance(content, dict):
        state = content.get("state_dict")
        content = state.get("d") if isinstance(state, dict) else None
    if not isinstance(content, Tensor):
        raise ValueError(
            f"{path} holds no direction: expected a tensor, or a tensor 'd' in 'state_dict'."
        )
    vector = content.detach().float().squeeze()
    norm = float(vector.norm())
    if vector.ndim != 1 or not 0 < norm < float("inf"):
        raise ValueError(
            f"{path} holds a tensor of shape {tuple(content.shape)} and norm {norm:.4g}; expected "
            "one non-zero vector."
        )
    return vector / norm


def direction_from_official(
    lighter: str | Path, darker: str | Path | None = None, *, generator: str
) -> Direction:
    """Make a direction of one or two official files.

    Args:
        lighter: File of the direction that lightens the foreground. BigGANsAreWatching has
            only this one.
        darker: File of the other; without it the opposite vector is taken.
        generator: Catalogue name of the generator that the files belong to; they do not say.

    Returns:
        The direction, without curves.
    """
    first = read_official_vector(lighter)
    second = -first if darker is None else read_official_vector(darker)
    provenance = {
        "generator": generator,
        "lighter_file": Path(lighter).name,
        "darker_file": None if darker is None else Path(darker).name,
    }
    return Direction(lighter=first, darker=second, provenance=provenance)


def _load_weights_only(path: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    if not zipfile.is_zipfile(path):  # the format before PyTorch 1.6
        return torch.load(path, map_location="cpu", weights_only=True)
    names = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    stand_ins: list[Any] = [(type("Ignored", (_Ignored,), {}), name) for name in names]
    with torch.serialization.safe_globals(stand_ins):
        return torch.load(path, map_location="cpu", weights_only=True)


class _Ignored(dict[Any, Any]):
    """Takes the place of an object that is not needed, and forgets what it is given."""

    def __new__(cls, *_: object, **__: object) -> "_Ignored":
        return dict.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass
