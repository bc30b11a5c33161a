"""Read weights files without running anything that is in them.

Files of torch.save go through PyTorch's own restricted reader, safetensors hold nothing but
tensors. The pickles of StyleGAN2's programs store each module's attributes through a function that
would compile source text from the file. Here that function, and the few others that occur, are
replaced by inert stand-ins that only keep the data; every other name in a pickle is refused.
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

from gseg.arrays import check_finite, load_torch

_SNIFFED: Final = 512
_WRAPPER: Final = "module."
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
    others = [k for k, v in content.items() if not (isinstance(v, Tensor) and isinstance(k, str))]
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
        content: object = load_torch(path)
    except ValueError as error:
        raise ValueError(
            f"{error} A StyleGAN2 pickle needs family 'stylegan2' in its config; any other file: "
            "download it again, from a source that you trust."
        ) from error
    return content


def _pick(path: Path, content: Mapping[str, object], weights_at: str | None) -> object:
    """Take the entry with the weights."""
    if weights_at in content:
        return content[str(weights_at)]
    # The conformance cases say of some files that the weights are at "the file itself".
    if weights_at is not None and "itself" not in weights_at:
        raise ValueError(
            f"{path} has no entry '{weights_at}': it has {', '.join(map(str, list(content)[:8]))}."
        )
    for entry in ("state_dict", "generator"):
        if weights_at is None and isinstance(content.get(entry), Mapping):
            return content[entry]
    return content


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
    try:
        content = _Reader(io.BytesIO(path.read_bytes())).load()
    except _RefusedError as error:
        raise ValueError(
            f"{path} asks for {error}, which no StyleGAN2 checkpoint needs, and is refused: use a "
            "file from a source that you trust."
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
