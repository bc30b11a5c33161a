"""The small generators that ship with the package.

Their weights are package data of `gseg.scenes`, float16 safetensors; the file's own header says
which architecture and which numbers rebuild the network, and how it was trained. Only files that
are there are offered.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final, Literal

import safetensors.torch
import torch
from torch import nn

from gseg.generators.big_resnet import BigResNetConfig, BigResNetGenerator
from gseg.generators.contract import Generator, GeneratorCard
from gseg.generators.resnet import ResNetConfig, ResNetGenerator
from gseg.generators.self_conditioned import SelfConditionedConfig, SelfConditionedGenerator

_SUFFIX: Final = ".safetensors"
_LENGTH_BYTES: Final = 8
_ORDER: Final = (
    *(f"{family}.scenes32" for family in ("acgan", "biggan", "ggan", "sagan", "sngan")),
    *(f"{family}.scenes32-large" for family in ("bigbigan", "selfcondgan", "uncondgan")),
    *(f"{family}.scenes32-large" for family in ("contragan", "sagan", "sngan", "biggan")),
)
"""Melas-Kyriazi et al. 2022, Table 2: the rows of TinyImageNet, then those of ImageNet."""


def build_network(architecture: str, numbers: Mapping[str, Any]) -> nn.Module:
    """Build an untrained network.

    Args:
        architecture: ``resnet``, ``big_resnet`` or ``self_conditioned``.
        numbers: The fields of that architecture's config.

    Returns:
        The network, freshly initialised.

    Raises:
        ValueError: The architecture is unknown.
    """
    if architecture == "resnet":
        return ResNetGenerator(ResNetConfig(**numbers))
    if architecture == "big_resnet":
        return BigResNetGenerator(BigResNetConfig(**numbers))
    if architecture == "self_conditioned":
        return SelfConditionedGenerator(SelfConditionedConfig(**numbers))
    raise ValueError(
        f"Unknown architecture '{architecture}': expected resnet, big_resnet or self_conditioned."
    )


def embedded_cards() -> list[GeneratorCard]:
    """Describe the generators whose weights are in the package.

    Returns:
        Their cards in the order of Melas-Kyriazi et al. 2022, Table 2, then the snapshots of
        trainings by iteration.
    """
    found = [item for item in _folder().iterdir() if item.name.endswith(_SUFFIX)]
    # Other networks, such as the feature network, lie in the same folder.
    cards = [_card(item) for item in found if "architecture" in _read_metadata(item)]
    return sorted(cards, key=_place)


def load_embedded(name: str, device: torch.device | str = "cpu") -> Generator:
    """Load a generator that ships with the package.

    Args:
        name: Catalogue name of an embedded generator.
        device: Where to put it.

    Returns:
        The frozen generator, float32 and in channels-last memory format.
    """
    file = _folder() / f"{name}{_SUFFIX}"
    metadata = _read_metadata(file)
    with torch.device("meta"):
        network = build_network(metadata["architecture"], json.loads(metadata["config"]))
    tensors = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in safetensors.torch.load(file.read_bytes()).items()
    }
    network.load_state_dict(tensors, strict=True, assign=True)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Generator(network, _card(file))


def _place(card: GeneratorCard) -> tuple[int, str, int]:
    """Say where a card stands in the list."""
    name = card.snapshot_of or card.name
    place = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    iteration = int(card.name.rpartition("-")[2]) if card.snapshot_of else 0
    return place + (len(_ORDER) + 1 if card.snapshot_of else 0), name, iteration


def _folder() -> Traversable:
    return files("gseg.scenes") / "weights"


def _card(file: Traversable) -> GeneratorCard:
    """Read a card from the header of a weights file."""
    metadata = _read_metadata(file)
    numbers, facts = json.loads(metadata["config"]), json.loads(metadata["card"])
    supervision: Literal["none", "class labels"] = (
        "none" if facts.get("supervision", "none") == "none" else "class labels"
    )
    return GeneratorCard(
        name=file.name.removesuffix(_SUFFIX),
        family=facts["family"],
        architecture=metadata["architecture"],
        dataset="scenes",
        resolution=numbers["resolution"],
        num_classes=numbers["num_classes"],
        latent_dim=numbers["latent_dim"],
        code_dim=numbers["latent_dim"],
        supervision=supervision,
        licence="MIT",
        paper=facts.get("paper", ""),
        snapshot_of=facts.get("snapshot_of", ""),
        published_fid=facts.get("fid"),
        fid_protocol=facts.get("fid_protocol", ""),
    )


def _read_metadata(file: Traversable) -> dict[str, str]:
    """Read the metadata in the header of a safetensors file."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        header: dict[str, dict[str, str]] = json.loads(stream.read(length))
    return header.get("__metadata__", {})
