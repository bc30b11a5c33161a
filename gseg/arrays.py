"""One check for arrays that come from elsewhere: no NaN, no infinity, no variance below zero."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array: TypeAlias = Tensor | NDArray[np.floating]
# How batch statistics end in the public programs' files.
_VARIANCES: Final = ("running_var", "stored_var")
# What is larger becomes infinite where it is computed with.
_LARGEST: Final = float(np.finfo(np.float32).max)


def check_finite(source: str | Path, arrays: Mapping[str, Array]) -> None:
    """Refuse numbers that float32 does not have, and running variances that are negative.

    Args:
        source: Where the arrays come from, for the error.
        arrays: By name, on any device; tensors that are not floating point are left out.

    Raises:
        ValueError: There is such a number; the first array and its first row are named.
    """
    for name, array in arrays.items():
        if 0 in array.shape:
            continue
        if isinstance(array, Tensor) and not array.is_floating_point():
            continue
        # No other array is made: a tenth of what `isfinite` takes.
        low, high = float(array.min()), float(array.max())
        if not -_LARGEST <= low <= high <= _LARGEST:  # nor is NaN
            raise ValueError(f"{source}: {_told(name, array)}; give another one.")
        if low < 0 and name.endswith(_VARIANCES):
            raise ValueError(f"{source}: the variances {name!r} are negative: it is damaged.")


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
