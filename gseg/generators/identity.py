"""Which weights a catalogue name stands for right now: part of the hash of all that is made."""

import hashlib
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import torch

from gseg.generators.catalogue import find_weights
from gseg.generators.own import load_own, own_file
from gseg.storage.callables import callable_digest
from gseg.storage.digests import digest, file_digest


def weights_digest(name: str, checkpoint: Path | None = None) -> str:
    """Hash a generator's weights file.

    Args:
        name: Catalogue name, or the file and function of a generator of the user's own.
        checkpoint: Weights file of a published generator; see `load_generator`.

    Returns:
        20 hexadecimal digits; ``none`` for a generator in closed form. Of the user's own, the
        Python file is hashed together with all parameters and buffers of the network.

    Raises:
        ValueError: The weights are not there, or a network of the user's own has other ones each
            time that it is made.
    """
    if name.startswith("analytic."):
        return "none"
    embedded = files("gseg.scenes") / "weights" / f"{name}.safetensors"
    if embedded.is_file():
        with as_file(embedded) as shipped:
            return file_digest(shipped)
    if own_file(name) is not None:
        return _own_digest(name, callable_digest(name))
    path = checkpoint or find_weights(name)
    if path is None:
        raise ValueError(
            f"The weights of {name} are not here: put the file into the folder that GSEG_WEIGHTS "
            f"names, as {name}.pth or with its own suffix."
        )
    return file_digest(path)


@cache
def _own_digest(name: str, code: str) -> str:
    weights, again = _tensors_digest(name), _tensors_digest(name)
    if weights != again:
        raise ValueError(
            f"{name} makes a network with other weights each time, expected the same ones: read "
            "them from a file, or seed their start."
        )
    return digest(code, weights)


def _tensors_digest(name: str) -> str:
    network = load_own(name)
    assert network is not None
    hashed = hashlib.sha256()
    for key, tensor in sorted(network.state_dict().items()):
        hashed.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hashed.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    return hashed.hexdigest()[:20]
