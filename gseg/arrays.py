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

from gseg.downloads import BombError, check_size, misfetched, why_unreadable

Array: TypeAlias = Tensor | NDArray[np.floating]
# How batch statistics end in the public programs' files.
_VARIANCES: Final = ("running_var", "stored_var")
_HUGE: Final = 2**30
_NAMED: Final = 3
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
        with path.open("rb") as file:
            start = file.read(len(np.lib.format.MAGIC_PREFIX))
        if start == np.lib.format.MAGIC_PREFIX:
            # Mapped: so its header is compared with its length before memory is taken.
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return {"array": array if mapped else np.array(array)}
        if not zipfile.is_zipfile(path):
            raise ValueError(misfetched(path) or "it begins neither as .npy nor as .npz files do")
        check_unpacked(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if not all(isinstance(each, np.ndarray) for each in arrays.values()):
            raise ValueError("it holds files that are no arrays")
        return arrays
    except BombError:
        raise
    # A damaged header is a Python expression that can fail anywhere, or asks for too much memory.
    except Exception as error:
        words = re.sub(" object at 0x[0-9a-f]+", "", why_unreadable(path, error))
        if "allow_pickle" in words or "Python objects" in words:
            words = "it holds objects of Python, not numbers"
        raise ValueError(f"{path} cannot be read as a file of NumPy: {words}.") from error


def check_unpacked(path: Path) -> None:
    """Refuse a zip file that would take far more memory than it has bytes.

    Raises:
        BombError: It would.
    """
    with zipfile.ZipFile(path) as file:
        size = sum(each.file_size for each in file.infolist())
    check_size(path, size)


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
        path.open("rb").close()
    except OSError as error:  # also a folder, and a link to itself
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from error
    # The format before PyTorch 1.6 is no zip file, and is not looked into.
    zipped, names = zipfile.is_zipfile(path), list[str]()
    try:
        if zipped:
            check_unpacked(path)
        if zipped and strangers:
            names = get_unsafe_globals_in_checkpoint(path)
        stand_ins: list[Any] = [
            (type(name.rpartition(".")[2], (_Inert,), {}), name) for name in names
        ]
        with safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # which would say how to run what is in the file
            # Opened here: of its name, torch.load would believe a suffix.
            with path.open("rb") as file:
                return torch.load(file, map_location="cpu", weights_only=True)
    except BombError:
        raise
    # A damaged pickle can fail anywhere in the interpreter of opcodes. PyTorch's own words are not
    # told: they say how to run what is in the file.
    except Exception as error:
        if wrong := misfetched(path):
            raise ValueError(f"{path} cannot be read: {wrong}.") from error
        asked = re.search(r"(?:GLOBAL|global) ([\w.]+)", str(error))
        if names or (asked and isinstance(error, pickle.UnpicklingError)):
            what = ", ".join(sorted(names)[:_NAMED]) or (asked and asked[1])
            raise ValueError(
                f"{path} is refused: it asks for {what}, and is no plain file of tensors."
            ) from error
        if _is_script(path):
            raise ValueError(
                f"{path} is a program of TorchScript, which is not run: where it is loaded, "
                "torch.save(network.state_dict(), FILE) writes its weights."
            ) from error
        raise ValueError(
            f"{path} is damaged or cut short, or no file of torch.save "
            f"({path.stat().st_size:,} bytes)."
        ) from error


def _is_script(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.endswith("/constants.pkl") for name in file.namelist())
    except Exception:  # of a damaged directory, names are no UTF-8, places negative, ...
        return False


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
