"""Read the pickles of StyleGAN2's programs without running anything that is in them.

They store each module's attributes through a function that would compile source text from the file.
Here that function, and the few others that occur, are replaced by inert stand-ins that only keep
the data; every other name in a pickle is refused. Files of torch.save and safetensors, which ship
and which other programs write, are read by `gseg.state_dicts`.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from gseg.arrays import check_finite
from gseg.downloads import check_file

_Storage = torch.storage.TypedStorage
_Ints = tuple[int, ...]
_NUMBER_CODES: Final = frozenset(
    ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
)


def read_shipped(file: Traversable) -> dict[str, Tensor]:
    """Read a safetensors file of the package; its float16 tensors become float32."""
    tensors = safetensors.torch.load(file.read_bytes())
    check_finite(file.name, tensors)
    return {key: t.float() if t.is_floating_point() else t for key, t in tensors.items()}


# What stands in the pickles of other programs.
_OTHER_KINDS: Final = {
    b"dnnlib.tflib": (
        "is a pickle of TensorFlow: 'python legacy.py --source=FILE --dest=NEW.pkl' of "
        "github.com/NVlabs/stylegan2-ada-pytorch makes one of PyTorch of a StyleGAN2 (it runs what "
        "is in the file: only of a source that you trust)."
    ),
    b"class SynthesisInput": (
        "is a pickle of StyleGAN3, whose layers gseg does not have, and no program turns into "
        "StyleGAN2's: write it as a generator of your own (FILE.py:FUNCTION)."
    ),
}


class StoredModule:
    """A module as a pickle stores it: its attributes, none of its code.

    Attributes:
        state: Its attributes, among them ``_modules``, ``_parameters`` and ``_buffers``.
    """

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self.state: Mapping[str, Any] = meta.get("state", {})

    def tensors(self, prefix: str = "") -> dict[str, Tensor]:
        """Give all parameters and buffers below this module by their full names."""
        found = {
            prefix + name: value
            for group in ("_parameters", "_buffers")
            for name, value in self.state.get(group, {}).items()
            if isinstance(value, Tensor)
        }
        for name, module in self.state.get("_modules", {}).items():
            if isinstance(module, StoredModule):
                found.update(module.tensors(f"{prefix}{name}."))
        return found


def read_stored_module(path: Path, entry: str) -> StoredModule:
    """Read one module of a pickle.

    Args:
        path: The file.
        entry: Its entry, such as ``G_ema``.

    Returns:
        The stored module; its tensors are on the CPU.

    Raises:
        ValueError: The file asks for a name that is not known to be harmless, is damaged, or has
            no such entry.
    """
    check_file(path)
    held = path.read_bytes()
    try:
        content = _Reader(io.BytesIO(held)).load()
    except _RefusedError as error:
        kind = next((kind for mark, kind in _OTHER_KINDS.items() if mark in held), "")
        raise ValueError(
            f"{path} {kind}"
            if kind
            else f"{path} asks for {error}, which no StyleGAN2 checkpoint needs, and is refused: "
            "use a file from a source that you trust."
        ) from error
    except Exception as error:  # a damaged pickle can fail anywhere in the interpreter of opcodes
        raise ValueError(
            f"{path} is no StyleGAN2 pickle, or is damaged or cut short "
            f"({path.stat().st_size:,} bytes; {type(error).__name__}): download it again, or name "
            "its family in the config."
        ) from error
    found = content.get(entry) if isinstance(content, dict) else None
    if not isinstance(found, StoredModule):
        names = ", ".join(map(str, content)) if isinstance(content, dict) else "no entries"
        raise ValueError(f"{path} has no network '{entry}': it has {names}.")
    return found


class _RefusedError(Exception):
    """A pickle asks for a name that is not on the list."""


class _Reader(pickle.Unpickler):
    """An unpickler for the names below and nothing else."""

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        """Give the stand-in of a name, or refuse it."""
        known = _KNOWN.get((module.replace("numpy._core", "numpy.core"), name))
        if known is None:
            raise _RefusedError(f"{module}.{name}")
        return known

    def persistent_load(self, pid: object) -> object:
        """Refuse references to objects outside the file."""
        raise _RefusedError(f"an object outside the file ({pid!r:.40})")


class _Dtype:
    """Stands in for the type of a NumPy number."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in _NUMBER_CODES:
            raise _RefusedError(f"the NumPy type {code!r}")
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">") else "="


def _scalar(dtype: _Dtype, data: bytes) -> float | int | bool:
    """Give a NumPy number as a plain one."""
    number: float | int | bool = np.frombuffer(data, dtype.order + dtype.code)[0].item()
    return number


def _storage(data: bytes) -> _Storage:
    """Give the storage of a tensor."""
    # A pickle within the pickle: PyTorch's restricted reader refuses what is no storage.
    stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(stored, _Storage):
        raise _RefusedError(f"a {type(stored).__name__} in place of a tensor's storage")
    return stored


def _tensor(storage: _Storage, offset: int, size: _Ints, stride: _Ints, *_: object) -> Tensor:
    """Give a tensor on its storage."""
    # `as_strided` refuses what reaches beyond the storage.
    flat = torch.tensor([], dtype=storage.dtype).set_(storage._untyped_storage)
    return flat.as_strided(size, stride, offset)


_KNOWN: Final[Mapping[tuple[str, str], Callable[..., object]]] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): StoredModule,
    ("dnnlib.util", "EasyDict"): OrderedDict,  # a dict that can have attributes
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
}
