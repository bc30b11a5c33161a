"""Read the segmenters that the papers' own programs saved, without running code from the file."""

import pickle  # for the name of its error only
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from gseg.segmenters.unet import UNet, blank_unet, load_strictly

# Of data-parallel replicas and of the Lightning module's attribute, outermost first.
_PREFIXES: Final = ("module.", "net.", "module.")


class _Inert:
    """Stands for any object of a class that is not a tensor's: keeps nothing, does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def load_public_unet(path: str | Path) -> UNet:
    """Read a U-Net that the papers' programs saved.

    Two containers are in use: a PyTorch Lightning checkpoint, whose ``state_dict`` carries the
    prefix ``net.``, and the flat ``segmentation.pth`` of Voynov et al. 2021. Width, depth and
    number of logits are read from the tensors' shapes. A Lightning checkpoint may hold settings
    as objects of foreign classes; inert objects take their place.

    Args:
        path: A ``.ckpt`` or ``.pth`` file.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        ValueError: The file is no such checkpoint, or a tensor is missing, extra or mis-shaped.
    """
    state = _strip_prefixes(_read_state(Path(path)))
    first, last = state.get("inc.double_conv.0.weight"), state.get("outc.conv.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4:
        raise ValueError(
            f"{path} holds no U-Net: expected tensors named like 'inc.double_conv.0.weight' and "
            f"'outc.conv.weight', got {sorted(state)[:4]}."
        )
    depth = sum(key.startswith("down") and key.endswith(".1.double_conv.0.weight") for key in state)
    network = blank_unet(first.shape[1], last.shape[0], width=first.shape[0], depth=max(depth, 1))
    load_strictly(network, state, source=str(path))
    return network.eval()


def _read_state(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"There is no checkpoint at {path}.")
    stand_ins: list[Any] = []
    try:
        if zipfile.is_zipfile(path):
            stand_ins = [(_Inert, name) for name in get_unsafe_globals_in_checkpoint(path)]
        with safe_globals(stand_ins):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        raise ValueError(
            f"Cannot read checkpoint {path}: it is truncated, no PyTorch file, or calls functions "
            "on loading. Expected a state dict as torch.save or PyTorch Lightning writes it."
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ValueError(
            f"{path} holds {type(content).__name__} where a state dict, tensors by name, is "
            "expected."
        )
    return content


def _strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = dict(state)
    for prefix in _PREFIXES:
        if plain and all(key.startswith(prefix) for key in plain):
            plain = {key.removeprefix(prefix): value for key, value in plain.items()}
    return plain
