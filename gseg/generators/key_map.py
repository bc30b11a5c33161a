"""Bring the tensors of a public checkpoint into our own networks, strictly.

A key map says for each tensor of our network which tensors of the file it is made from, which
shapes they must have, and how: as they are, transposed, or divided by their spectral norm. Every
tensor of the file is used exactly once; anything missing, left over or of another shape is an
error that names it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SHOWN: Final = 3
_AJBROCK_EPS: Final = 1e-4
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """What one tensor of our network is made from.

    Attributes:
        keys: Names of the file's tensors, none for a constant.
        shapes: Their shapes.
        make: Gives our tensor from them.
    """

    keys: tuple[str, ...]
    shapes: tuple[Shape, ...]
    make: Callable[..., Tensor]


KeyMap = dict[str, Source]
WeightRule = Callable[[str, Shape], Source]


def plain(key: str, shape: Shape) -> Source:
    """Take a tensor as it is."""
    return Source((key,), (shape,), lambda tensor: tensor)


def transposed(key: str, shape: Shape) -> Source:
    """Take the transpose of a matrix; shape is that of ours."""
    return Source((key,), (shape[::-1],), lambda tensor: tensor.T.contiguous())


def spectral(key: str, shape: Shape) -> Source:
    """Fold the spectral norm of `torch.nn.utils.spectral_norm` with the stored vectors.

    sigma = u . (W v), without a power iteration: what the network does in evaluation mode. A
    training changes W after the last iteration, so this is not the exact norm.
    """
    keys = (f"{key}_orig", f"{key}_u", f"{key}_v")
    return Source(keys, (shape, shape[:1], (math.prod(shape[1:]),)), _fold_stored)


def spectral_transposed(key: str, shape: Shape) -> Source:
    """Fold as `spectral`, then transpose; shape is that of ours."""
    source = spectral(key, shape[::-1])
    return Source(source.keys, source.shapes, lambda *parts: _fold_stored(*parts).T.contiguous())


def spectral_ajbrock(key: str, shape: Shape) -> Source:
    """Fold the spectral norm of BigGAN-PyTorch: one power iteration from the stored u0.

    The stored singular value sv0 is a log that the public program does not use either.
    """
    prefix = key.removesuffix("weight")
    keys = (key, f"{prefix}u0", f"{prefix}sv0")
    return Source(keys, (shape, (1, shape[0]), (1,)), _fold_one_step)


def constant(shape: Shape, dtype: torch.dtype) -> Source:
    """Fill with zeros what the file does not have."""
    return Source((), (), lambda: torch.zeros(shape, dtype=dtype))


def map_keys(
    network: nn.Module, rename: Callable[[str], str], weight: Callable[[str], WeightRule]
) -> KeyMap:
    """Make the key map of a network whose file names the same layers differently.

    Args:
        network: Ours, on any device.
        rename: Gives the file's name of one of our tensors.
        weight: Gives, for the weight of a layer of that name, how it is taken.

    Returns:
        The source of each tensor in the network's state dict.
    """
    state = network.state_dict()
    weights = set(_layer_weights(network))
    return {
        key: (weight(key) if key in weights else plain)(rename(key), tuple(tensor.shape))
        for key, tensor in state.items()
    }


def apply_key_map(key_map: KeyMap, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make our state dict from a file's tensors.

    Args:
        key_map: The source of each of our tensors.
        tensors: The file's tensors by name.

    Returns:
        Our state dict; floating tensors are float32.

    Raises:
        ValueError: A tensor is missing, left over or of another shape.
    """
    expected = {
        key: shape
        for source in key_map.values()
        for key, shape in zip(source.keys, source.shapes, strict=True)
    }
    problems = list(_problems(expected, tensors))
    if problems:
        raise ValueError("; ".join(problems))
    made = {}
    with torch.no_grad():
        for name, source in key_map.items():
            tensor = source.make(*(tensors[key] for key in source.keys))
            made[name] = tensor.float() if tensor.is_floating_point() else tensor
    return made


def _problems(expected: Mapping[str, Shape], tensors: Mapping[str, Tensor]) -> Iterator[str]:
    missing = [f"{key} {list(shape)}" for key, shape in expected.items() if key not in tensors]
    extra = [f"{key} {list(t.shape)}" for key, t in tensors.items() if key not in expected]
    other = [
        f"{key} is {list(tensors[key].shape)}, expected {list(shape)}"
        for key, shape in expected.items()
        if key in tensors and tuple(tensors[key].shape) != shape
    ]
    for label, found in (("missing", missing), ("not expected", extra), ("other shape", other)):
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            yield f"{label}: {', '.join(found[:_SHOWN])}{more}"


def _layer_weights(network: nn.Module) -> Iterator[str]:
    """Name the weights of linear layers, convolutions and tables."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding):
            yield f"{name}.weight"


def _fold_stored(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return weight / torch.dot(u, weight.flatten(1) @ v)


def _fold_one_step(weight: Tensor, u0: Tensor, _sv0: Tensor) -> Tensor:
    matrix = weight.flatten(1)
    v = F.normalize(u0 @ matrix, eps=_AJBROCK_EPS)
    u = F.normalize(v @ matrix.T, eps=_AJBROCK_EPS)
    return weight / (v @ matrix.T @ u.T).squeeze()
