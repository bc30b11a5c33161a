"""Writing what a training of an embedded generator yields: weights with their record, pictures."""

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import nn

from gseg.generators.big_resnet import BigResNetConfig
from gseg.generators.contract import Generator, GeneratorCard
from gseg.generators.encoders import ENCODER_SUFFIX, EncoderConfig
from gseg.generators.resnet import ResNetConfig
from gseg.generators.self_conditioned import SelfConditionedConfig
from gseg.images import contact_sheet
from gseg.pretraining.recipes import NetworkConfig, Recipe
from gseg.randomness import latents
from gseg.scores.fid import REFERENCE_PICTURES, scenes_distance

_TILES: Final = 64


def architecture_name(config: NetworkConfig) -> str:
    """Name the module that builds a configuration."""
    names = {
        ResNetConfig: "resnet",
        BigResNetConfig: "big_resnet",
        SelfConditionedConfig: "self_conditioned",
    }
    return names[type(config)]


def save_weights(
    network: nn.Module, name: str, recipe: Recipe, facts: dict[str, Any], folder: Path
) -> Path:
    """Write the weights as float16 safetensors, with what is needed to rebuild the network.

    Args:
        network: From `Training.export`.
        name: Catalogue name.
        recipe: Its recipe.
        facts: How the training went; goes into the metadata and into a JSON file beside it.
        folder: Where to.

    Returns:
        The path of the safetensors file.
    """
    card = {
        "family": recipe.family,
        "paper": recipe.paper,
        "supervision": recipe.supervision,
        **facts,
    }
    metadata = {
        "architecture": architecture_name(recipe.network),
        "config": json.dumps(asdict(recipe.network)),
        "card": json.dumps(card),
    }
    path = folder / f"{name}.safetensors"
    _save(network, path, metadata)
    text = json.dumps(
        {"name": name, **metadata, "config": asdict(recipe.network), "card": card}, indent=1
    )
    path.with_suffix(".json").write_text(text + "\n")
    return path


def measured_distance(
    network: nn.Module, name: str, recipe: Recipe, count: int = REFERENCE_PICTURES
) -> dict[str, Any]:
    """Measure the Fréchet distance to the training scenes, of the weights as they are saved.

    Args:
        network: From `Training.export`.
        name: Catalogue name.
        recipe: Its recipe.
        count: Pictures.

    Returns:
        ``fid`` and ``fid_protocol``, for the record.
    """
    config = recipe.network
    card = GeneratorCard(
        name=name,
        family=recipe.family,
        architecture=architecture_name(config),
        dataset="scenes",
        resolution=config.resolution,
        num_classes=config.num_classes,
        latent_dim=config.latent_dim,
        code_dim=config.latent_dim,
    )
    rounded = copy.deepcopy(network).half().float()
    distance = scenes_distance(Generator(rounded, card), count)
    return {"fid": round(distance.value, 4), "fid_protocol": distance.protocol}


def save_encoder(network: nn.Module, name: str, config: EncoderConfig, folder: Path) -> Path:
    """Write an encoder's weights as float16 safetensors.

    Args:
        network: From `EncoderTraining.export_encoder`.
        name: Catalogue name of its generator.
        config: What rebuilds it.
        folder: Where to.

    Returns:
        The path of the file.
    """
    path = folder / f"{name}{ENCODER_SUFFIX}"
    _save(network, path, {"config": json.dumps(asdict(config))})
    return path


@torch.no_grad()
def sample_sheet(network: nn.Module, config: NetworkConfig, path: Path) -> None:
    """Draw 64 pictures of fixed latents; the columns of a conditional generator are classes."""
    z = latents(0, range(_TILES), config.latent_dim)
    y = torch.arange(_TILES) % max(config.num_classes, 1)
    device = next(network.parameters()).device
    mode = network.training
    network.eval()
    pictures = network(z.to(device), y.to(device)).float().cpu()
    network.train(mode)
    rows = [list(pictures[row * 16 : (row + 1) * 16]) for row in range(_TILES // 16)]
    contact_sheet(rows, tile=64).save(path)


def _save(network: nn.Module, path: Path, metadata: dict[str, str]) -> None:
    tensors = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in network.state_dict().items()
    }
    save_file(tensors, path, metadata=metadata)
