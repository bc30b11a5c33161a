"""BigGAN-deep through the package ``pytorch-pretrained-biggan``.

Brock et al. 2019, appendix B. Its batch normalisations hold tables of statistics over the
truncation, and a truncated generator is z times the truncation together with the row of that
truncation.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import torch
import torch.nn.functional as F
from pytorch_pretrained_biggan.config import BigGANConfig
from pytorch_pretrained_biggan.model import BigGAN
from torch import Tensor, nn

from gseg.generators import family
from gseg.storage.files import read_text

_CONFIG_FILES: Final = ("config.json", "model_config.json")


class BigGANDeepGenerator(nn.Module):
    """The package's generator behind our calls.

    Args:
        numbers: The package's configuration.
        truncation: In (0, 1]; 1 for none.
    """

    activation_layer = "model.generator.layers.0"

    def __init__(self, numbers: Mapping[str, Any], truncation: float = 1.0) -> None:
        super().__init__()
        if not 0 < truncation <= 1:
            raise ValueError(f"truncation must be in (0, 1], got {truncation}.")
        self.truncation = truncation
        self.config = SimpleNamespace(
            architecture="biggan_deep",
            resolution=int(numbers["output_dim"]),
            num_classes=int(numbers["num_classes"]),
            latent_dim=int(numbers["z_dim"]),
        )
        # Its spectral norms are folded into the weights by the key map, so the hooks go.
        self.model = BigGAN(BigGANConfig.from_dict(dict(numbers)))
        for module in self.model.modules():
            if hasattr(module, "weight_orig"):
                nn.utils.remove_spectral_norm(module)
                module._load_state_dict_pre_hooks.clear()  # which removing it leaves behind

    def code_weights(self) -> Tensor:
        """See `gseg.generators.contract.Generator.code_weights`."""
        # Layers that take (z, class embedding): their first columns.
        entered = [
            module.weight[:, : self.config.latent_dim]
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear) and name.endswith((".gen_z", ".scale", ".offset"))
        ]
        return torch.cat(entered)

    def map(self, z: Tensor) -> Tensor:
        """Truncate z (N, latent_dim)."""
        return z * self.truncation

    def forward(self, code: Tensor, y: Tensor) -> Tensor:
        """Make pictures (N, 3, R, R) in [-1, 1] from codes and labels (N,) int64."""
        labels = F.one_hot(y, self.config.num_classes).to(code.dtype)
        pictures: Tensor = self.model(code, labels, self.truncation)
        return pictures


def _read(path: Path, stated: family.Stated) -> tuple[family.Stated, Any]:
    if path.is_dir():  # as the package itself keeps a checkpoint
        path = path / "pytorch_model.bin"
    stated, content = family.read_plain(path, stated)
    return {**stated, "config": stated.get("config") or _beside(path)}, content


def _beside(path: Path) -> Mapping[str, Any]:
    """Read the package's configuration from the folder of the weights."""
    names = (*_CONFIG_FILES, path.name.replace("pytorch_model.bin", "config.json"))
    for name in names:
        if (path.parent / name).is_file():
            found: Mapping[str, Any] = json.loads(read_text(path.parent / name))
            if "channel_width" in found:
                return found
    raise ValueError(
        f"{path}: BigGAN-deep needs its configuration, in config['config'] or as config.json in "
        "the same folder."
    )


def _plan(stated: family.Stated, _: object, truncation: family.Truncation | None) -> family.Plan:
    if isinstance(truncation, tuple):
        raise ValueError(f"BigGAN-deep's truncation is one number, got {truncation}.")
    network = BigGANDeepGenerator(stated["config"], 1.0 if truncation is None else truncation)

    def weight(key: str) -> family.WeightRule:
        return family.plain if key == "model.embeddings.weight" else family.spectral

    return network, family.map_keys(network, ((r"^model\.", ""),), weight)


FAMILIES: Final = (
    family.Family(
        proper_name="BigGAN-deep",
        plan=_plan,
        read=_read,
        truncates=True,
        labelled=True,
        channels_last=False,
    ),
)
