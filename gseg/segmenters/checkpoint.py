"""The state of an unfinished training in one file, so that it can go on exactly where it was.

A safetensors file: weights and batch statistics (``network.*``), Adam's moments
(``optimiser.<parameter>.*``), losses and held-out scores so far; its metadata holds the step and
what is being trained. The order of the pairs and the learning rate follow from the step alone.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gseg.artifacts import replacing
from gseg.segmenters.unet import UNet
from gseg.segmenters.weights import load_strictly

_KEY: Final = "gseg.training"


@dataclass(kw_only=True, slots=True)
class TrainingState:
    """What changes while a segmenter is trained.

    Attributes:
        network: In training mode between steps.
        optimiser: Adam over the network's parameters.
        losses: (steps,) float32, filled up to `step`.
        step: Steps done.
        validation: Step and IoU of each measurement on held-out pairs.
    """

    network: UNet
    optimiser: torch.optim.Adam
    losses: Tensor
    step: int = 0
    validation: list[tuple[int, float]] = field(default_factory=list)


def save_state(path: Path, state: TrainingState, identity: str) -> None:
    """Write a training's state; the older file stays until the new one is complete.

    Args:
        path: The file.
        state: After at least one step.
        identity: Says what is being trained; `restore_state` compares it.

    Raises:
        ValueError: The disk is full.
    """
    tensors = {f"network.{key}": tensor for key, tensor in state.network.state_dict().items()}
    for number, moments in state.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in moments.items()}
    tensors["losses"] = state.losses
    facts = {"step": state.step, "identity": identity, "validation": state.validation}
    with replacing(path) as part:
        save_file(
            {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()},
            part,
            metadata={_KEY: json.dumps(facts)},
        )


def restore_state(path: Path, state: TrainingState, identity: str) -> None:
    """Bring a fresh state to where `save_state` left off.

    Args:
        path: Written by `save_state`.
        state: Built for the same training; changed in place.
        identity: As given to `save_state`.

    Raises:
        ValueError: The file is no such checkpoint, or belongs to another training.
    """
    tensors, facts = _read(path)
    if facts["identity"] != identity:
        raise ValueError(
            f"Checkpoint {path} belongs to another training: it holds {facts['identity']}, asked "
            f"for is {identity}. Choose another path, or delete the file to start afresh."
        )
    weights = {key[8:]: tensor for key, tensor in tensors.items() if key.startswith("network.")}
    load_strictly(state.network, weights, source=str(path))
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".")
            moments.setdefault(int(number), {})[name] = tensor
    _restore_optimiser(state.optimiser, moments)
    state.losses.copy_(tensors["losses"])
    state.step = facts["step"]
    state.validation = [(step, iou) for step, iou in facts["validation"]]


def _restore_optimiser(optimiser: torch.optim.Adam, moments: dict[int, dict[str, Tensor]]) -> None:
    groups = optimiser.state_dict()["param_groups"]
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    laid_out = {
        number: {
            name: tensor if tensor.ndim == 0 else torch.zeros_like(parameters[number]).copy_(tensor)
            for name, tensor in named.items()
        }
        for number, named in moments.items()
    }  # Adam's fused update walks moments and weights in step, so both need the same strides
    optimiser.load_state_dict({"state": laid_out, "param_groups": groups})


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"Cannot read training checkpoint {path}: {error}") from error
    if _KEY not in metadata:
        raise ValueError(f"{path} is no training checkpoint of a segmenter.")
    return tensors, json.loads(metadata[_KEY])
