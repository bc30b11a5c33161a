"""A GPU that is pretended, so that waits for it can be counted where there is none.

`Pretended` tensors say that they are on ``cuda``, and lie on the CPU, where PyTorch's own kernels
compute them. Every call of a function of PyTorch that takes one goes through `_call`, which

- counts what would wait for a GPU: reading a value, copies that are not to or from pinned memory,
  and functions whose result has a size that only the GPU knows (boolean indexing, `nonzero`, ...);
- refuses tensors of both kinds in one function, as CUDA does;
- gives results that are pretended, too.

What it does not see: what happens inside a function of PyTorch's own (so these are in a list,
`_WAITING`), and backward passes, whose tensors are plain ones. Streams, their order and memory are
not pretended; copies to the CPU are there at once.
"""

import contextlib
import traceback
from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

DEVICE = torch.device("cuda")

_READING = {
    "item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__",
    "__complex__", "__contains__", "__array__", "__repr__", "is_nonzero",
}  # fmt: skip
_WAITING = {
    "nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "_unique2", "equal",
    "allclose", "bincount", "matrix_exp", "linalg_matrix_exp", "eigh", "linalg_eigh",
    "masked_scatter", "new_tensor",
}  # fmt: skip
"""Functions that wait for a GPU to know how large their result is, or what to do."""
_INDEXING = {"__getitem__", "__setitem__", "index_put_", "index_put", "index"}
_COPYING = {"to", "copy_", "type_as", "cuda"}
_FACTORIES = {
    torch.empty, torch.zeros, torch.ones, torch.full, torch.arange, torch.linspace, torch.eye,
    torch.tensor, torch.as_tensor, torch.rand, torch.randn, torch.empty_like, torch.zeros_like,
    torch.ones_like, torch.full_like,
}  # fmt: skip


class Waits:
    """What was waited for.

    Attributes:
        counts: By kind of wait.
        places: The last lines of gseg on the way there, by kind.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.places: dict[str, Counter[str]] = {}

    def note(self, kind: str) -> None:
        """Count a wait."""
        lines = [
            f"{frame.filename.rpartition('/gseg/')[2]}:{frame.lineno}"
            for frame in traceback.extract_stack()
            if "/gseg/" in frame.filename
        ]
        self.counts[kind] += 1
        self.places.setdefault(kind, Counter())[" < ".join(reversed(lines[-3:]))] += 1

    @property
    def unintended(self) -> int:
        """Number of waits other than those for copies that were begun before."""
        return sum(count for kind, count in self.counts.items() if kind != "event")


_active: list[Waits] = []


class Pretended(torch.Tensor):
    """A tensor that says that it is on a GPU."""

    @property
    def device(self) -> torch.device:
        return DEVICE

    @property
    def is_cuda(self) -> bool:
        return True

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


class _Everything(TorchFunctionMode):
    """Hears of functions that take no pretended tensor, and are to give one."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


class _Event:
    """A mark in a stream: waiting for it is what `start_copy` is for."""

    def record(self) -> None:
        """Mark."""

    def synchronize(self) -> None:
        for waits in _active:
            waits.note("event")


@contextlib.contextmanager
def pretended_gpu() -> Iterator[Waits]:
    """Pretend that there is a GPU, in this thread; tensors stay pretended in others."""
    waits, before = Waits(), torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    _active.append(waits)
    try:
        with (
            patch.object(torch.Tensor, "pin_memory", lambda values: _pin(values.clone())),
            patch.object(torch.cuda, "Event", _Event),
            _Everything(),
        ):
            yield waits
    finally:
        _active.remove(waits)
        torch.__future__.set_overwrite_module_params_on_conversion(before)


def _pin(values: torch.Tensor) -> torch.Tensor:
    values.is_pinned_here = True
    return values


def _is_pinned(values: torch.Tensor) -> bool:
    return getattr(values, "is_pinned_here", False)


def _wait(kind: str) -> None:
    for waits in _active:
        waits.note(kind)


def _call(func, args, kwargs):
    name = getattr(func, "__name__", "")
    tensors = [
        each for each in pytree.tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)
    ]
    there = any(isinstance(each, Pretended) for each in tensors)
    with torch._C.DisableTorchFunctionSubclass():
        if func in _FACTORIES:
            return _make(func, name, args, kwargs, there)
        if name in _COPYING:
            return _copy(func, name, args, kwargs)
        if not there:
            return func(*args, **kwargs)
        if name in _READING:
            _wait(name)
            return _plain(func(*args, **kwargs))
        if name in _WAITING:
            _wait(name)
        if name in _INDEXING:
            _check_indices(args)
        elif name not in ("__set__", "_has_compatible_shallow_copy_type"):
            _check_devices(name, tensors)
        return _pretend(func(*args, **kwargs))


def _make(func, name, args, kwargs, there):
    device = kwargs.pop("device", None)
    there = there if device is None else torch.device(device).type == "cuda"
    pinned = kwargs.pop("pin_memory", False)
    if there and name in ("tensor", "as_tensor"):
        _wait("upload")
    made = func(*args, **kwargs)
    return _pretend(made) if there else _pin(made) if pinned else _plain(made)


def _copy(func, name, args, kwargs):
    first = args[0]
    if name == "copy_":
        _check_copy(source=args[1], target=first, kwargs=kwargs, args=args[2:])
        func(*args, **kwargs)
        return first
    device, args, kwargs = _target(args, kwargs)
    if device is None:
        found = func(*args, **kwargs)
        return _pretend(found) if isinstance(first, Pretended) else found
    target = torch.device(device).type == "cuda"
    if target and not isinstance(first, Pretended):
        if not (_is_pinned(first) and kwargs.get("non_blocking")):
            _wait("upload")
    elif not target and isinstance(first, Pretended):
        _wait("download")
    found = func(*args, **kwargs)
    return _pretend(found) if target else _plain(found)


def _target(args, kwargs):
    """Take the device out of the arguments of `Tensor.to`."""
    kwargs = dict(kwargs)
    device = kwargs.pop("device", None)
    left = [args[0]]
    for each in args[1:]:
        if isinstance(each, torch.Tensor):
            device, each = each.device, each.dtype
        if isinstance(each, str | torch.device):
            device = each
        elif each is not None:
            left.append(each)
    if isinstance(left[-1], bool):  # Module.to gives device, dtype, non_blocking
        kwargs["non_blocking"] = left.pop()
    if len(left) == 1 and not set(kwargs) - {"non_blocking", "copy"}:
        return device, (*left, left[0].dtype), kwargs
    return device, tuple(left), kwargs


def _check_copy(*, source, target, kwargs, args):
    if isinstance(source, Pretended) == isinstance(target, Pretended):
        return
    other = target if isinstance(source, Pretended) else source
    if not (_is_pinned(other) and (kwargs.get("non_blocking") or True in args)):
        _wait("download" if isinstance(source, Pretended) else "upload")


def _check_indices(args):
    if not isinstance(args[0], Pretended):
        _wait("download")
    for each in pytree.tree_leaves(args[1:]):
        if not isinstance(each, torch.Tensor):
            continue
        if each.dtype in (torch.bool, torch.uint8) and each.ndim and len(args) == 2:
            _wait("boolean index")
        if not isinstance(each, Pretended):
            _wait("upload")


def _check_devices(name, tensors):
    for each in tensors:
        if not isinstance(each, Pretended) and each.ndim:
            raise RuntimeError(f"{name}: a tensor {tuple(each.shape)} of the CPU among a GPU's.")


def _pretend(found):
    def pretend(each):
        if isinstance(each, Pretended):
            return each
        if torch.is_grad_enabled() or each.requires_grad:
            return each.as_subclass(Pretended)
        # No view of another tensor: a custom function's result may be changed in place.
        return torch.Tensor._make_subclass(Pretended, each)

    return pytree.tree_map_only(torch.Tensor, pretend, found)


def _plain(found):
    return pytree.tree_map_only(torch.Tensor, lambda each: each.as_subclass(torch.Tensor), found)
