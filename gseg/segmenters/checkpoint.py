"""The state of an unfinished training in one file, so that it can go on exactly where it was.

A safetensors file: weights and batch statistics (``network.*``), Adam's moments
(``optimiser.<parameter>.*``), losses and held-out measurements so far; its metadata holds the step
and what is being trained.

Which checkpoints are kept: one for each training, the newest; see `Keeper`.
"""

import json
import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from gseg.downloads import why_unreadable
from gseg.segmenters.unet import UNet, load_strictly, read_safetensors
from gseg.storage.files import replacing
from gseg.storage.manifests import is_whole, sealed

_KEY: Final = "gseg.training"
_OLDER: Final = frozenset({"step", "identity", "validation"})
# Most of the time that writing checkpoints may take.
_WRITING_SHARE: Final = 0.02


class CheckpointError(ValueError):
    """A file is no checkpoint, is damaged, or is another training's; the message names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One look at the held-out pairs.

    Attributes:
        step: Steps that the training had done.
        iou: In [0, 1]: mean over all pictures whose mask or prediction is not empty; 0 if nothing
            was found where nothing was to be found.
        loss: Mean cross-entropy of all pixels.
    """

    step: int
    iou: float
    loss: float


@dataclass(kw_only=True, slots=True)
class TrainingState:
    """What changes while a segmenter is trained.

    Attributes:
        network: In training mode between steps.
        optimiser: Adam over the network's parameters.
        losses: (steps,) float32, filled up to `step`.
        foreground: () int64: foreground pixels of all masks trained on so far.
        step: Steps done.
        validation: Measurements on held-out pairs.
    """

    network: UNet
    optimiser: torch.optim.Adam
    losses: Tensor
    foreground: Tensor
    step: int = 0
    validation: list[Measurement] = field(default_factory=list)


class Keeper:
    """Writes a training's state from time to time.

    One file, replaced when the time given has passed since it was last written and writing it
    keeps under 2 % of the training's time, and after the last step.

    Args:
        path: The file; None to keep nothing.
        seconds: Between two writings; 0 for after every step.
        identity: See `save_state`.
    """

    def __init__(self, path: Path | None, seconds: float, identity: str) -> None:
        self._path, self._seconds, self._identity = path, seconds, identity
        self._next = time.monotonic() + seconds

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self._path is not None and time.monotonic() >= self._next

    def save(self, state: TrainingState) -> None:
        """Write the state."""
        if self._path is None:
            return
        # By time, not by steps: a killed training loses about a minute, whatever a step costs.
        # Nothing that comes out depends on when the state is written.
        began = time.monotonic()
        save_state(self._path, state, self._identity)
        ended = time.monotonic()
        pause = max(self._seconds, (ended - began) / _WRITING_SHARE) if self._seconds else 0.0
        self._next = ended + pause


def save_state(path: Path, state: TrainingState, identity: str) -> None:
    """Write a training's state; the older file stays until the new one is complete.

    Args:
        path: The file.
        state: After at least one step.
        identity: Says what is being trained; `restore_state` compares it.

    Raises:
        ValueError: The disk is full.
    """
    # The order of the pairs and the learning rate follow from seed and step alone, and no other
    # random number is drawn after the initial weights, so nothing else is needed.
    tensors = {f"network.{key}": tensor for key, tensor in state.network.state_dict().items()}
    for number, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in moments.items()}
    tensors |= {"losses": state.losses, "foreground": state.foreground}
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    facts = {
        "step": state.step,
        "identity": identity,
        "validation": [asdict(measurement) for measurement in state.validation],
        "crc32": _crc32(tensors),
    }
    with replacing(path) as part:
        save_file(tensors, part, metadata={_KEY: json.dumps(sealed(facts))})


def restore_state(path: Path, state: TrainingState, *identities: str) -> None:
    """Bring a fresh state to where `save_state` left off.

    Args:
        path: Written by `save_state`.
        state: Built for the same training; changed in place.
        *identities: As given to `save_state`; one of them.

    Raises:
        CheckpointError: The file is no such checkpoint, damaged, or belongs to another training.
    """
    tensors, facts = _read(path)
    if facts["identity"] not in identities:
        raise CheckpointError(
            f"Checkpoint {path} belongs to another training: it holds {facts['identity']}, asked "
            f"for is {identities[0]}. Choose another path, or delete the file to start afresh."
        )
    # The format has no checksum of its own; older versions wrote none. Compared here alone: who
    # looks at a curve may read while another checkpoint takes the file's place.
    if facts.get("crc32", crc32 := _crc32(tensors)) != crc32:
        raise CheckpointError(f"Checkpoint {path} is damaged: delete the file to start afresh.")
    weights: dict[str, Tensor] = {}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition(".")
        if kind == "network":
            weights[name] = tensor
        elif kind == "optimiser":
            number, _, name = name.partition(".")
            moments.setdefault(int(number), {})[name] = tensor
    load_strictly(state.network, weights, source=str(path))
    _restore_optimiser(state.optimiser, moments)
    state.losses.copy_(tensors["losses"])
    state.foreground.copy_(tensors["foreground"])
    state.step = facts["step"]
    state.validation = _measurements(facts)


def read_curve(path: Path) -> tuple[Tensor, list[Measurement]]:
    """Read how far an unfinished training has come.

    Returns:
        (steps done,) float32 losses, and the measurements on held-out pairs.

    Raises:
        CheckpointError: The file is no such checkpoint.
    """
    tensors, facts = _read(path)
    return tensors["losses"][: facts["step"]], _measurements(facts)


def _measurements(facts: dict[str, Any]) -> list[Measurement]:
    return [Measurement(**measurement) for measurement in facts["validation"]]


def _restore_optimiser(optimiser: torch.optim.Adam, moments: dict[int, dict[str, Tensor]]) -> None:
    groups = optimiser.state_dict()["param_groups"]
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    # Adam's fused update walks moments and weights in step, so both need the same strides.
    laid_out = {
        number: {
            name: tensor if tensor.ndim == 0 else torch.zeros_like(parameters[number]).copy_(tensor)
            for name, tensor in named.items()
        }
        for number, named in moments.items()
    }
    optimiser.load_state_dict({"state": laid_out, "param_groups": groups})


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        tensors, metadata = read_safetensors(path)
        facts = json.loads(metadata.get(_KEY, "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"Cannot read training checkpoint {path}: {why_unreadable(path, error)}"
        ) from error
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path} is no training checkpoint of a segmenter.")
    # Those of older versions have no checksum of what they say.
    whole = is_whole(facts)
    if not whole and (whole is False or not _OLDER <= facts.keys() <= _OLDER | {"crc32"}):
        raise CheckpointError(f"Checkpoint {path} is damaged: delete the file to start afresh.")
    return tensors, facts


def _crc32(tensors: Mapping[str, Tensor]) -> int:
    found = 0
    for name in sorted(tensors):
        content = tensors[name].contiguous().reshape(-1).view(torch.uint8)
        found = zlib.crc32(content.numpy().data, found)
    return found
