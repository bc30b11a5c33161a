"""Make a generator from a public checkpoint: safely, strictly, with errors that say what to do."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from gseg.generators.big_resnet import BigResNetConfig, BigResNetGenerator
from gseg.generators.bigbigan import bigbigan_config, bigbigan_key_map
from gseg.generators.contract import Generator, GeneratorCard
from gseg.generators.key_map import KeyMap, apply_key_map
from gseg.generators.reading import read_tensors
from gseg.generators.resnet import ResNetConfig, ResNetGenerator
from gseg.generators.self_conditioned import SelfConditionedConfig, SelfConditionedGenerator
from gseg.generators.selfcond_checkpoint import self_conditioned_config, self_conditioned_key_map
from gseg.generators.studiogan import studiogan_config, studiogan_key_map
from gseg.generators.stylegan2_checkpoint import Truncation, load_stylegan2

_STUDIOGAN: Final = ("acgan", "biggan", "contragan", "ggan", "sagan", "sngan")
_SELF_CONDITIONED: Final = ("selfcondgan", "uncondgan")
FAMILIES: Final = (*_STUDIOGAN, *_SELF_CONDITIONED, "bigbigan", "stylegan2", "biggandeep")
_PROPER_NAMES: Final = {
    "acgan": "ACGAN",
    "biggan": "BigGAN",
    "contragan": "ContraGAN",
    "ggan": "GGAN",
    "sagan": "SAGAN",
    "sngan": "SNGAN",
    "selfcondgan": "SelfCondGAN",
    "uncondgan": "UncondGAN",
    "bigbigan": "BigBiGAN",
    "stylegan2": "StyleGAN2",
    "biggandeep": "BigGAN-deep",
}
ResidualConfig = ResNetConfig | BigResNetConfig | SelfConditionedConfig


def from_checkpoint(
    path: Path | str,
    config: Mapping[str, Any] | Path | str,
    *,
    device: torch.device | str = "cpu",
    truncation: Truncation | None = None,
) -> Generator:
    """Load a generator from a file in one of the public layouts.

    Args:
        path: The weights.
        config: A mapping, or the path of a JSON file with one. Read are ``family`` (one of
            `FAMILIES`), ``architecture``, ``config`` (the public program's constructor arguments,
            as it spells them) and ``checkpoint.weights_at`` (the entry of the file that holds the
            weights); all but ``family`` may be left out where the file tells them.
        device: Where to put it.
        truncation: Of StyleGAN2 (psi, or psi and the number of first layers that it applies to;
            applied to w) and BigGAN-deep (of z and its statistics); None for none. The other
            families have no such thing.

    Returns:
        The frozen generator. Spectral norms are folded into its weights.

    Raises:
        ValueError: The file is not what the config says, damaged or unsafe.
    """
    path = Path(path)
    stated = _read_config(config)
    family = stated.get("family")
    if family not in FAMILIES:
        raise ValueError(
            f"config names the family '{family}', expected one of {', '.join(FAMILIES)}."
        )
    if family == "stylegan2":
        return _stylegan2(path, stated, device, truncation)
    if family == "biggandeep":
        return _biggan_deep(path, stated, device, truncation)
    if truncation is not None:
        raise ValueError(f"{family} has no truncation, got {truncation}: leave it out.")
    network, card = _load_residual(path, family, stated)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Generator(network, card)


def _stylegan2(
    path: Path,
    stated: Mapping[str, Any],
    device: torch.device | str,
    truncation: Truncation | None,
) -> Generator:
    """Load StyleGAN2."""
    network = load_stylegan2(path, stated, truncation)
    card = GeneratorCard(
        name=str(stated.get("case", path.stem)),
        family=_PROPER_NAMES["stylegan2"],
        architecture="stylegan2",
        dataset="",
        resolution=network.config.resolution,
        num_classes=0,
        latent_dim=network.config.latent_dim,
        code_dim=network.config.style_dim,
    )
    return Generator(network.to(device), card)


def _biggan_deep(
    path: Path,
    stated: Mapping[str, Any],
    device: torch.device | str,
    truncation: Truncation | None,
) -> Generator:
    """Load BigGAN-deep."""
    # The package takes seconds to import, which every other family would pay too.
    from gseg.generators.biggan_deep import load_biggan_deep

    if isinstance(truncation, tuple):
        raise ValueError(f"BigGAN-deep's truncation is one number, got {truncation}.")
    network = load_biggan_deep(path, stated, truncation)
    card = GeneratorCard(
        name=str(stated.get("case", path.stem)),
        family=_PROPER_NAMES["biggandeep"],
        architecture="biggan_deep",
        dataset="",
        resolution=network.resolution,
        num_classes=network.num_classes,
        latent_dim=network.latent_dim,
        code_dim=network.latent_dim,
        supervision="class labels",
    )
    return Generator(network.to(device), card)


def _load_residual(
    path: Path, family: str, stated: Mapping[str, Any]
) -> tuple[nn.Module, GeneratorCard]:
    """Load one of the residual families."""
    tensors = read_tensors(path, stated.get("checkpoint", {}).get("weights_at"))
    try:
        network, key_map, architecture = plan(family, stated, tensors)
        state = apply_key_map(key_map, tensors)
    except ValueError as error:
        raise ValueError(f"{path} does not fit {family}: {error}. {describe(tensors)}") from error
    network.load_state_dict(state, strict=True, assign=True)
    numbers = network.config
    assert isinstance(numbers, ResNetConfig | BigResNetConfig | SelfConditionedConfig)
    labelled = numbers.num_classes > 0 and family not in _SELF_CONDITIONED
    return network, GeneratorCard(
        name=str(stated.get("case", path.stem)),
        family=_PROPER_NAMES[family],
        architecture=architecture,
        dataset="",
        resolution=numbers.resolution,
        num_classes=numbers.num_classes,
        latent_dim=numbers.latent_dim,
        code_dim=numbers.latent_dim,
        supervision="class labels" if labelled else "none",
    )


def plan(
    family: str, stated: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[nn.Module, KeyMap, str]:
    """Build the network of a residual family on the meta device, and its key map.

    Args:
        family: One of the residual families.
        stated: The config as given to `from_checkpoint`.
        tensors: The file's tensors, of which names and shapes are looked at.

    Returns:
        The network without memory, the source of each of its tensors, and its architecture.

    Raises:
        ValueError: Neither the config nor the tensors tell a needed number.
    """
    given = stated.get("config", {})
    with torch.device("meta"):
        if family in _SELF_CONDITIONED:
            numbers = self_conditioned_config(given, tensors)
            network = SelfConditionedGenerator(numbers)
            return network, self_conditioned_key_map(network, numbers), "self_conditioned"
        if family == "bigbigan":
            sizes, classes = bigbigan_config(given, tensors)
            big = BigResNetGenerator(sizes)
            return big, bigbigan_key_map(big, sizes, classes), "big_resnet"
        seen = "big_resnet" if "shared.weight" in tensors else "resnet"
        architecture = stated.get("architecture", seen)
        config = studiogan_config(architecture, given, tensors)
        residual = (
            BigResNetGenerator(config)
            if isinstance(config, BigResNetConfig)
            else ResNetGenerator(config)
        )
        return residual, studiogan_key_map(residual, tensors), architecture


def describe(tensors: Mapping[str, Tensor]) -> str:
    """Say in one sentence what a file looks like, and what to try."""
    builders: dict[str, Callable[[], tuple[nn.Module, KeyMap, str]]] = {
        "a StudioGAN generator": lambda: plan("sngan", {}, tensors),
        "a self-conditioned generator": lambda: plan("uncondgan", {}, tensors),
        "BigBiGAN's generator": lambda: plan("bigbigan", {}, tensors),
    }
    for label, build in builders.items():
        try:
            network, _, architecture = build()
        except (ValueError, KeyError, IndexError):
            continue
        numbers = network.config
        assert isinstance(numbers, ResNetConfig | BigResNetConfig | SelfConditionedConfig)
        return (
            f"The file looks like {label} ({architecture}, {numbers.resolution} px, "
            f"{numbers.num_classes or 'no'} classes): choose that family and those sizes."
        )
    first = ", ".join(list(tensors)[:3])
    return f"The file's first tensors are {first}: is it a generator's file?"


def _read_config(config: Mapping[str, Any] | Path | str) -> Mapping[str, Any]:
    """Read the config, from a JSON file if it is a path."""
    if isinstance(config, Mapping):
        return config
    try:
        parsed = json.loads(Path(config).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"The config {config} cannot be read as JSON: {error}.") from error
    if not isinstance(parsed, Mapping):
        raise ValueError(
            f"The config {config} holds a {type(parsed).__name__}, expected an object."
        )
    return parsed
