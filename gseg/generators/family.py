"""What a family of public checkpoints needs to become one of our networks, strictly.

A `Family` says how its files are read and which network and key map they make. A key map says for
each tensor of our network which tensors of the file it is made from, which shapes they must have,
and how: as they are, transposed, or divided by their spectral norm. Every tensor of the file is
used exactly once; anything missing, left over or of another shape is an error that names it.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gseg.state_dicts import read_content

_SHOWN: Final = 3
_AJBROCK_EPS: Final = 1e-4
Shape = tuple[int, ...]
Tensors = Mapping[str, Tensor]
# What `gseg.generators.checkpoints.from_checkpoint` is told: its ``config``.
Stated = Mapping[str, Any]
Truncation = float | tuple[float, int]


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
Plan = tuple[nn.Module, KeyMap]
WeightRule = Callable[[str, Shape], Source]
# Patterns in our names, and what the file has there, as `re.sub` takes it; one after the other.
Names = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]


def read_plain(path: Path, stated: Stated) -> tuple[Stated, Any]:
    """Read a file of torch.save or safetensors; what was stated stays as it is."""
    return stated, read_content(path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """A family of public checkpoints.

    Attributes:
        proper_name: The paper's name for the method.
        plan: Builds the network from what is stated, the file's tensors (of which names and shapes
            are looked at) and the truncation, and gives it with its key map. The network's
            ``config`` has its sizes. It is called where new tensors take no memory.
        configs: Of the networks that a generator of this family that ships with the package may
            have: each with its ``architecture``, its sizes, and ``build``.
        read: Gives the content of a file, in which a state dict that fits is looked for; may
            complete what was stated by what the file says.
        truncates: Whether truncation is an option of loading.
        labelled: Whether class labels took part in the training of networks with classes.
        looks_like: What a file of this form may be called to a user who chose another family;
            empty where a family before has the same form.
        channels_last: Whether the weights go to that memory format, in which convolutions of the
            residual networks are fastest.
    """

    proper_name: str
    plan: Callable[[Stated, Tensors, Truncation | None], Plan]
    configs: tuple[type[Any], ...] = ()
    read: Callable[[Path, Stated], tuple[Stated, Any]] = read_plain
    truncates: bool = False
    labelled: bool = False
    looks_like: str = ""
    channels_last: bool = True

    @property
    def name(self) -> str:
        """Its name in configs and, before the dot, in the catalogue."""
        return self.proper_name.lower().replace("-", "")


def check_told(known: Mapping[str, Any], needed: Sequence[str], whose: str) -> None:
    """Check that config and file together tell the numbers that make a network.

    Raises:
        ValueError: One is missing.
    """
    absent = [key for key in needed if key not in known]
    if absent:
        raise ValueError(
            f"neither the config nor the file tells {', '.join(absent)}: is it {whose}?"
        )


def shapes_of(tensors: Tensors) -> dict[str, Shape]:
    """Give the shape of each tensor; weights under spectral normalisation by their plain name."""
    return {k.replace("weight_orig", "weight"): tuple(t.shape) for k, t in tensors.items()}


def plain(key: str, shape: Shape) -> Source:
    """Take a tensor as it is."""
    return Source((key,), (shape,), lambda tensor: tensor)


def transposed(key: str, shape: Shape) -> Source:
    """Take the transpose of a matrix; shape is that of ours."""
    return Source((key,), (shape[::-1],), lambda tensor: tensor.T.contiguous())


def spectral(key: str, shape: Shape) -> Source:
    """Fold the spectral norm of `torch.nn.utils.spectral_norm` with the stored vectors."""
    # sigma = u . (W v), without a power iteration: what the network does in evaluation mode. A
    # training changes W after the last iteration, so this is not the exact norm.
    keys = (f"{key}_orig", f"{key}_u", f"{key}_v")
    return Source(keys, (shape, shape[:1], (math.prod(shape[1:]),)), _fold_stored)


def spectral_transposed(key: str, shape: Shape) -> Source:
    """Fold as `spectral`, then transpose; shape is that of ours."""
    source = spectral(key, shape[::-1])
    return Source(source.keys, source.shapes, lambda *parts: _fold_stored(*parts).T.contiguous())


def spectral_ajbrock(key: str, shape: Shape) -> Source:
    """Fold the spectral norm of BigGAN-PyTorch: one power iteration from the stored u0."""
    # The stored singular value sv0 is a log that the public program does not use either.
    prefix = key.removesuffix("weight")
    keys = (key, f"{prefix}u0", f"{prefix}sv0")
    return Source(keys, (shape, (1, shape[0]), (1,)), _fold_one_step)


def map_keys(network: nn.Module, names: Names, weight: Callable[[str], WeightRule]) -> KeyMap:
    """Make the key map of a network whose file names the same layers differently.

    Args:
        network: Ours, on any device.
        names: Bring our names to the file's.
        weight: Gives, for our name of a layer's weight, how it is taken.

    Returns:
        The source of each tensor in the network's state dict.
    """
    weights = {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Embedding)
    }
    key_map = {}
    for key, tensor in network.state_dict().items():
        file_key = key
        for pattern, name in names:
            file_key = re.sub(pattern, name, file_key)
        key_map[key] = (weight(key) if key in weights else plain)(file_key, tuple(tensor.shape))
    return key_map


def check_kinds(network: nn.Module, key_map: KeyMap, tensors: Tensors) -> None:
    """Make sure that a file has floating-point numbers where our network has.

    Raises:
        ValueError: A tensor is of another kind.
    """
    for name, ours in network.state_dict().items():
        for key in key_map[name].keys:
            tensor = tensors.get(key, ours)  # what is missing is told of with the shapes
            fits = tensor.is_floating_point() == ours.is_floating_point()
            if not fits or tensor.layout != torch.strided:
                kind = "floating-point" if ours.is_floating_point() else "whole"
                raise ValueError(
                    f"{key} holds {tensor.dtype} ({tensor.layout}), expected dense {kind} numbers"
                )


def check_tensors(key_map: KeyMap, tensors: Tensors) -> None:
    """Check that every tensor of a file is used, and of which shape it is.

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


def apply_key_map(key_map: KeyMap, tensors: Tensors) -> dict[str, Tensor]:
    """Make our state dict from a file's tensors; floating tensors become float32.

    Raises:
        ValueError: As `check_tensors`.
    """
    check_tensors(key_map, tensors)
    made = {}
    with torch.no_grad():
        for name, source in key_map.items():
            tensor = source.make(*(tensors[key] for key in source.keys))
            made[name] = tensor.float() if tensor.is_floating_point() else tensor
    return made


def _problems(expected: Mapping[str, Shape], tensors: Tensors) -> Iterator[str]:
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


def _fold_stored(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    return weight / torch.dot(u, weight.flatten(1) @ v)


def _fold_one_step(weight: Tensor, u0: Tensor, _sv0: Tensor) -> Tensor:
    matrix = weight.flatten(1)
    v = F.normalize(u0 @ matrix, eps=_AJBROCK_EPS)
    u = F.normalize(v @ matrix.T, eps=_AJBROCK_EPS)
    return weight / (v @ matrix.T @ u.T).squeeze()
