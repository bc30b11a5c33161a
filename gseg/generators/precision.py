"""How the sampling path runs a generator on each kind of device.

The fastest setting under which at least 99.5 % of the mask pixels and 99 % of the filters' accept
decisions equal those of float32, by `benchmarks/generators.py`. It is chosen here, by a table,
and never by timing when samples are drawn: it changes bits, so it is part of what the samples are.
Generators are in channels-last memory format wherever they are loaded.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import torch
from torch import Tensor

from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.storage.digests import since

Forward = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardSetting:
    """A way to run a frozen generator.

    Attributes:
        precision: Of the forward pass; pictures come out as float32 in any case.
        compiled: Whether the network goes through `torch.compile`.
        tf32: Whether a GPU may round float32 to TensorFloat-32, as PyTorch allows convolutions
            unless it is told otherwise; see `gseg.exactness`.
    """

    precision: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False
    tf32: bool = since("0.1", True)

    def rounding(self) -> AbstractContextManager[None]:
        """Make PyTorch round as the setting says, in a ``with`` block."""
        return nullcontext() if self.tf32 else exact()


SAMPLING: Final[Mapping[str, ForwardSetting]] = MappingProxyType(
    {
        # One core with AMX, 4,096 candidates of each of four embedded generators: bfloat16 keeps
        # 99.8 % of the mask pixels, but 98.7 to 99.1 % of the accept decisions. Compiled forwards
        # of 64 pictures take 1.33 (BigGAN) and 1.12 (GGAN) of the plain ones' time.
        "cpu": ForwardSetting(),
        # The exact setting. On an H100 with TensorFloat-32, 23 of the 24 published checkpoints
        # miss the tolerance of their public programs' outputs.
        "cuda": ForwardSetting(tf32=False),
    }
)


def sampling_setting(device: torch.device | str) -> ForwardSetting:
    """Look up the setting of a device.

    Args:
        device: Its kind counts, not its number; a kind that the table leaves out runs in float32.
    """
    return SAMPLING.get(torch.device(device).type, ForwardSetting())


def forward_with(generator: Generator, setting: ForwardSetting) -> Forward:
    """Give a generator's forward under a setting.

    Args:
        generator: The frozen generator.
        setting: How to run it.

    Returns:
        A call like the generator's own: code (N, code_dim) and y (N,) or None to pictures
        (N, 3, R, R) float32.
    """
    call: Forward = torch.compile(generator) if setting.compiled else generator
    narrow = setting.precision == "bfloat16"
    if setting.tf32 and not narrow:
        return call

    def set_forward(code: Tensor, y: Tensor | None) -> Tensor:
        with (
            setting.rounding(),
            torch.autocast(code.device.type, torch.bfloat16) if narrow else nullcontext(),
        ):
            return call(code, y)

    return set_forward
