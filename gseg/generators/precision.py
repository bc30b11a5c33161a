"""How the sampling path runs a generator on each kind of device.

The fastest setting under which at least 99.5 % of the mask pixels and 99 % of the filters' accept
decisions equal those of float32, by `benchmarks/generators.py`. It is chosen here, by a table,
and never by timing when samples are drawn: it changes bits, so it is part of what the samples are.
Generators are in channels-last memory format wherever they are loaded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

import torch
from torch import Tensor

from gseg.generators.contract import Generator

Forward = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class ForwardSetting:
    """A way to run a frozen generator.

    Attributes:
        precision: Of the forward pass; pictures come out as float32 in any case.
        compiled: Whether the network goes through `torch.compile`.
    """

    precision: Literal["float32", "bfloat16"] = "float32"
    compiled: bool = False


SAMPLING: Final[Mapping[str, ForwardSetting]] = MappingProxyType(
    {
        # One core with AMX, 4,096 candidates of each of four embedded generators: bfloat16 keeps
        # 99.8 % of the mask pixels, but 98.7 to 99.1 % of the accept decisions. Compiled forwards
        # of 64 pictures take 1.33 (BigGAN) and 1.12 (GGAN) of the plain ones' time.
        "cpu": ForwardSetting(),
        # Not measured on a GPU so far: the exact setting, until it is.
        "cuda": ForwardSetting(),
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
    if setting.precision == "float32":
        return call

    def narrow(code: Tensor, y: Tensor | None) -> Tensor:
        with torch.autocast(code.device.type, torch.bfloat16):
            return call(code, y)

    return narrow
