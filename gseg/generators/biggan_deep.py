"""BigGAN-deep through the package ``pytorch-pretrained-biggan``.

Brock et al. 2019, appendix B. Its batch normalisations hold tables of statistics over the
truncation, and a truncated generator is z times the truncation together with the row of that
truncation.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from pytorch_pretrained_biggan.config import BigGANConfig
from pytorch_pretrained_biggan.model import BigGAN
from torch import Tensor, nn

from gseg.generators.key_map import KeyMap, Source, apply_key_map, spectral
from gseg.generators.reading import read_tensors

_CONFIG_FILES: Final = ("config.json", "model_config.json")


class BigGANDeepGenerator(nn.Module):
    """The package's generator behind our calls.

    Args:
        numbers: The package's configuration.
        truncation: In (0, 1]; 1 for none.
    """

    def __init__(self, numbers: Mapping[str, Any], truncation: float = 1.0) -> None:
        super().__init__()
        if not 0 < truncation <= 1:
            raise ValueError(f"truncation must be in (0, 1], got {truncation}.")
        self.truncation = truncation
        self.num_classes = int(numbers["num_classes"])
        self.latent_dim = int(numbers["z_dim"])
        self.resolution = int(numbers["output_dim"])
        self.model = BigGAN(BigGANConfig.from_dict(dict(numbers)))
        for module in self.model.modules():
            if hasattr(module, "weight_orig"):
                nn.utils.remove_spectral_norm(module)
                module._load_state_dict_pre_hooks.clear()  # which removing it leaves behind

    def map(self, z: Tensor) -> Tensor:
        """Truncate z (N, latent_dim)."""
        return z * self.truncation

    def forward(self, code: Tensor, y: Tensor) -> Tensor:
        """Make pictures (N, 3, R, R) in [-1, 1] from codes and labels (N,) int64."""
        labels = F.one_hot(y, self.num_classes).to(code.dtype)
        pictures: Tensor = self.model(code, labels, self.truncation)
        return pictures


def load_biggan_deep(
    path: Path, stated: Mapping[str, Any], truncation: float | None
) -> BigGANDeepGenerator:
    """Load BigGAN-deep.

    Args:
        path: The weights, or their folder as the package writes it.
        stated: The config as given to `gseg.generators.from_checkpoint`; without ``config``, the
            package's configuration is read from the folder of the weights.
        truncation: In (0, 1]; None for none.

    Returns:
        The network on the CPU.

    Raises:
        ValueError: The file is not such a checkpoint, or there is no configuration.
    """
    if path.is_dir():
        path = path / "pytorch_model.bin"
    tensors = read_tensors(path, stated.get("checkpoint", {}).get("weights_at"))
    numbers = stated.get("config") or _beside(path)
    try:
        with torch.device("meta"):
            network = BigGANDeepGenerator(numbers, 1.0 if truncation is None else truncation)
        state = apply_key_map(biggan_deep_key_map(network), tensors)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} does not fit biggandeep: {error}") from error
    network.load_state_dict(state, strict=True, assign=True)
    return network


def biggan_deep_key_map(network: nn.Module) -> KeyMap:
    """Map the package's keys; spectral norms are folded into our weights.

    Args:
        network: Ours.

    Returns:
        The source of each of our tensors.
    """
    key_map = {}
    for name, tensor in network.state_dict().items():
        key, shape = name.removeprefix("model."), tuple(tensor.shape)
        normalised = key.endswith(".weight") and len(shape) > 1 and key != "embeddings.weight"
        key_map[name] = (
            spectral(key, shape) if normalised else Source((key,), (shape,), lambda held: held)
        )
    return key_map


def _beside(path: Path) -> Mapping[str, Any]:
    """Read the package's configuration from the folder of the weights."""
    names = (*_CONFIG_FILES, path.name.replace("pytorch_model.bin", "config.json"))
    for name in names:
        if (path.parent / name).is_file():
            found: Mapping[str, Any] = json.loads((path.parent / name).read_text())
            if "channel_width" in found:
                return found
    raise ValueError(
        f"{path}: BigGAN-deep needs its configuration, in config['config'] or as config.json in "
        "the same folder."
    )
