"""The state of an unfinished training of candidate directions, in one safetensors file."""

import json
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gseg.storage.store import replacing

_KEY: Final = "gseg.directions"


def save_training(
    path: Path,
    networks: nn.Module,
    adam: torch.optim.Adam,
    losses: Tensor,
    step: int,
    identity: str,
) -> None:
    """Write a training's state; the older file stays until the new one is complete.

    Args:
        path: The file.
        networks: All that is trained.
        adam: Its optimiser.
        losses: (steps,), filled up to `step`.
        step: Steps done.
        identity: Says what is being trained; `restore_training` compares it.
    """
    tensors = {f"network.{name}": tensor for name, tensor in networks.state_dict().items()}
    for number, moments in adam.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": tensor for name, tensor in moments.items()}
    tensors["losses"] = losses
    facts = json.dumps({"step": step, "identity": identity})
    with replacing(path) as part:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
            part,
            metadata={_KEY: facts},
        )


def restore_training(
    path: Path, networks: nn.Module, adam: torch.optim.Adam, losses: Tensor, identity: str
) -> int:
    """Bring fresh networks to where `save_training` left off.

    Args:
        path: Written by `save_training`.
        networks: Built for the same training; changed in place.
        adam: Changed in place.
        losses: Changed in place.
        identity: As given to `save_training`.

    Returns:
        Steps done.

    Raises:
        ValueError: The file is no such checkpoint, or belongs to another training.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"Cannot read the unfinished training {path}: {error}") from error
    if facts.get("identity") != identity:
        raise ValueError(
            f"{path} belongs to another training of directions. Choose another folder, or delete "
            "the file to start afresh."
        )
    networks.load_state_dict(
        {name[8:]: tensor for name, tensor in tensors.items() if name.startswith("network.")}
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith("adam."):
            _, number, name = key.split(".")
            moments.setdefault(int(number), {})[name] = tensor
    adam.load_state_dict({"state": moments, "param_groups": adam.state_dict()["param_groups"]})
    losses.copy_(tensors["losses"])
    return int(facts["step"])
