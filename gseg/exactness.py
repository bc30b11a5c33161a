"""Float32 that is computed in float32 on a GPU, too, and there as well twice with the same bits.

PyTorch lets the convolutions of float32 tensors round their inputs to TensorFloat-32 (10 bits of
mantissa) unless it is told otherwise, and matrix products where a user or an environment asks for
it. On an H100, 23 of the 24 published checkpoints then miss the tolerance of their public
programs' outputs, by .0005 to .014; without it all 24 keep it. So whatever computes a result runs
inside `exact`. Only drawing may be set otherwise (`gseg.generators.contract`).
"""

import threading
from collections.abc import Callable
from contextlib import ContextDecorator
from typing import Any, Final


def device_identity(device: str) -> str:
    """Say in what names things that are computed exactly on ``cpu`` or ``cuda``.

    On a GPU ``cuda exact``: what was made before `exact` came is named ``cuda``.
    """
    return device if device == "cpu" else f"{device} exact"


class _Exact(ContextDecorator):
    """Counts who is inside: threads overlap, as when a training's samples are drawn meanwhile."""

    # PyTorch's switches belong to the process, not to a thread or device: while anyone is inside,
    # nobody rounds, and the last to leave puts them back.

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._put_back: Callable[[], None] = lambda: None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._put_back = _forbid()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._put_back()


_EXACT: Final = _Exact()


def exact() -> _Exact:
    """Forbid TensorFloat-32 and sums in any order: in a ``with`` block, or as ``@exact()``.

    It costs twenty microseconds, or one inside another, and changes nothing on a CPU.
    """
    return _EXACT


def _forbid() -> Callable[[], None]:
    """Turn TensorFloat-32 and sums in any order off; give what turns all back to what it was."""
    import torch  # not above: `device_identity` is for commands that must not wait for it

    # Since PyTorch 2.9 there are two sets of switches, `allow_tf32` and `fp32_precision`. Setting
    # the older sets the newer along; setting the newer alone makes the older raise where it is read
    # (by torch.compile and cudnn.flags among others); and the older does not get through where a
    # user set `torch.backends.fp32_precision = "tf32"`, which the newer then inherits. So: the
    # older first, then the newer where that was not enough; back in the same order.
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    newer: list[Any] = []
    if hasattr(torch.backends, "fp32_precision"):
        newer = [cudnn.conv, cudnn.rnn, matmul]  # type: ignore[attr-defined]
    precisions = [switch.fp32_precision for switch in newer]
    older: list[Any] = [each for each in (cudnn, matmul) if _older(getattr, each, "allow_tf32")]
    # `matmul.allow_tf32 = True` comes back as "high"; a user may have wished for "medium".
    medium = matmul in older and _older(torch.get_float32_matmul_precision) == "medium"
    deterministic = cudnn.deterministic
    for switch in older:
        switch.allow_tf32 = False  # not the precision of all products, which is the CPU's, too
    for switch in newer:
        if switch.fp32_precision == "tf32":
            switch.fp32_precision = "ieee"
    # cuDNN has algorithms that add in the order in which threads arrive, above all for transposed
    # convolutions, to it the gradient of a convolution. On an H100 two equal forwards of 22 of 23
    # checkpoints then differ in last bits, and so do the pictures of a shard that is drawn twice.
    # Not torch.use_deterministic_algorithms, which forbids operations that have no such form.
    cudnn.deterministic = True

    def undo() -> None:
        for switch in older:
            switch.allow_tf32 = True
        if medium:
            torch.set_float32_matmul_precision("medium")
        for switch, precision in zip(newer, precisions, strict=True):
            if switch.fp32_precision != precision:
                switch.fp32_precision = precision
        cudnn.deterministic = deterministic

    return undo


def _older(read: Callable[..., object], *names: object) -> object:
    """Read an older switch; None where a user has set the newer alone, and reading raises."""
    try:
        return read(*names)
    except RuntimeError:
        return None
