"""Arrays that come from elsewhere: read without running anything, and checked.

No NaN, no infinity, no variance below zero; from files of torch.save nothing but tensors and plain
containers.
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

Array: TypeAlias = Tensor | NDArray[np.floating]
# How batch statistics end in the public programs' files.
_VARIANCES: Final = ("running_var", "stored_var")
_HUGE: Final = 2**30
# Characters of another library's reason that are told.
_WORDS: Final = 150
# What is larger becomes infinite where it is computed with.
_LARGEST: Final = float(np.finfo(np.float32).max)


def check_finite(source: str | Path, arrays: Mapping[str, Array]) -> None:
    """Refuse numbers that float32 does not have, and running variances that are negative.

    Args:
        source: Where the arrays come from, for the error.
        arrays: By name, on any device; of tensors that are not floating point only the form is
            looked at.

    Raises:
        ValueError: There is such a number, or a tensor is sparse, complex or larger than its
            file; the first array and its first row are named.
    """
    for name, array in arrays.items():
        if 0 in array.shape:
            continue
        if isinstance(array, Tensor):
            _check_form(source, name, array)
            if not array.is_floating_point():
                continue
        # No other array is made: a tenth of what `isfinite` takes.
        low, high = float(array.min()), float(array.max())
        if not -_LARGEST <= low <= high <= _LARGEST:  # nor is NaN
            raise ValueError(f"{source}: {_told(name, array)}; give another one.")
        if low < 0 and name.endswith(_VARIANCES):
            raise ValueError(f"{source}: the variances {name!r} are negative: it is damaged.")


def _check_form(source: str | Path, name: str, tensor: Tensor) -> None:
    """Refuse a tensor that PyTorch reads, but hardly computes with."""
    if tensor.layout != torch.strided or tensor.is_complex():
        raise ValueError(
            f"{source}: {name!r} holds {tensor.dtype} ({tensor.layout}), expected real numbers, "
            "all of them."
        )
    size = tensor.numel() * tensor.element_size()
    # One number may stand for many; not for so many that they fit into no memory.
    if size > _HUGE and size > tensor.untyped_storage().nbytes():
        raise ValueError(
            f"{source}: {name!r} claims {tensor.numel():,} numbers that are not there."
        )


def _told(name: str, array: Array) -> str:
    if isinstance(array, Tensor):
        array = array.detach().double().cpu().numpy()
    whole = array.astype(np.float64)
    bad = ~(np.abs(whole) <= _LARGEST)
    row = int(np.unravel_index(bad.argmax(), bad.shape)[0]) if bad.ndim else 0
    where = f", the first in row {row} of {len(bad)}" if bad.ndim else ""
    return (
        f"{name!r} holds NaN or infinity ({int(bad.sum()):,} of {bad.size:,} numbers{where}): it "
        "is damaged, or what made it diverged"
    )


def load_numpy(path: Path, *, mapped: bool = False) -> dict[str, NDArray[Any]]:
    """Read a ``.npy`` or ``.npz`` file, which cannot run code.

    Args:
        path: The file.
        mapped: Leave the array of a ``.npy`` file on the disk.

    Returns:
        Arrays by name; that of a ``.npy`` file is called ``array``.

    Raises:
        ValueError: It is none, damaged, or holds objects.
    """
    try:
        content = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return {"array": content}
        with content as file:
            arrays = {name: file[name] for name in file.files}
        if not all(isinstance(each, np.ndarray) for each in arrays.values()):
            raise ValueError("it holds files that are no arrays")
        return arrays
    # A damaged header is a Python expression that can fail anywhere, or asks for too much memory.
    except Exception as error:
        words = re.sub(" object at 0x[0-9a-f]+", "", " ".join(str(error).split()))[:_WORDS]
        raise ValueError(f"{path} cannot be read as a file of NumPy: {words}.") from error


def load_torch(path: Path, *, strangers: bool = False) -> Any:  # noqa: ANN401 as the file has it
    """Read a file of torch.save, to the CPU, by PyTorch's restricted reader.

    Args:
        path: The file.
        strangers: Whether it may hold objects of other classes, such as settings of the program
            that wrote it: inert ones, which keep nothing, take their place.

    Raises:
        ValueError: It is no such file, is damaged, or asks for what is not harmless.
    """
    try:
        # The format before PyTorch 1.6 is no zip file, and is not looked into.
        strangers = strangers and zipfile.is_zipfile(path)
        names = get_unsafe_globals_in_checkpoint(path) if strangers else []
        stand_ins: list[Any] = [(type("Inert", (_Inert,), {}), name) for name in names]
        with safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which would say how to run what is in the file
            return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    # A damaged pickle can fail anywhere in the interpreter of opcodes. PyTorch's own words are not
    # told: they say how to run what is in the file.
    except Exception as error:
        asked = re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error))
        if asked and isinstance(error, pickle.UnpicklingError):
            raise ValueError(
                f"{path} is refused: it asks for {asked[1]}, and is no plain file of tensors."
            ) from error
        raise ValueError(
            f"{path} is damaged or cut short, or no file of torch.save "
            f"({path.stat().st_size:,} bytes)."
        ) from error


class _Inert(dict[Any, Any]):
    """Takes the place of an object that is not needed, and forgets what it is given."""

    def __new__(cls, *_: object, **__: object) -> "_Inert":
        return dict.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass
