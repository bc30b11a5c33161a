"""Make a generator from a weights file: safely, strictly, with errors that say what to do.

A file is one of a public family's, or one that ships with the package. The latter are float16
safetensors whose header says which architecture and which numbers rebuild the network.
"""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from gseg.arrays import check_finite
from gseg.generators import cards
from gseg.generators.cards import FAMILY_MODULES, GeneratorCard
from gseg.generators.contract import Generator
from gseg.generators.family import (
    Family,
    Plan,
    Tensors,
    Truncation,
    apply_key_map,
    check_kinds,
    check_tensors,
)
from gseg.generators.reading import read_shipped
from gseg.state_dicts import choose_state, every_state, likely_state
from gseg.storage.files import read_text

# An IndexError: a tensor has fewer axes than tell a size.
_MISFITS: Final = (ValueError, KeyError, IndexError)
# A tensor of other programs' StyleGANs, and what to do.
_OTHER_STYLEGANS: Final = {
    "conv1.conv.modulation.weight": (
        "is StyleGAN2 as rosinality/stylegan2-pytorch writes it: model_pt2pkl.py of "
        "github.com/eps696/stylegan2ada makes the pickle of NVlabs of it, which gseg reads."
    ),
    "synthesis.input.freqs": (
        "is StyleGAN3, whose layers gseg does not have: write it as a generator of your own "
        "(FILE.py:FUNCTION)."
    ),
}


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
            `FAMILY_MODULES`), ``architecture``, ``config`` (the public program's constructor
            arguments, as it spells them) and ``checkpoint.weights_at`` (the entry of the file that
            holds the weights); all but ``family`` may be left out where the file tells them.
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
    name = stated.get("family")
    if name not in FAMILY_MODULES:
        raise ValueError(
            f"config names the family '{name}', expected one of {', '.join(FAMILY_MODULES)}."
        )
    family = find_family(name)
    if truncation is not None and not family.truncates:
        raise ValueError(f"{name} has no truncation, got {truncation}: leave it out.")
    stated, content = family.read(path, stated)
    entry = stated.get("checkpoint", {}).get("weights_at", "")
    # The conformance cases say of some files that the weights are at "the file itself".
    entry = "" if "itself" in entry else entry

    def fitted(tensors: Tensors) -> Plan:
        network, key_map = plan(name, stated, tensors, truncation)
        check_kinds(network, key_map, tensors)
        check_tensors(key_map, tensors)
        return network, key_map

    def fit(tensors: Tensors) -> Plan | None:
        try:
            return fitted(tensors)
        except _MISFITS:
            return None

    chosen = choose_state(path, content, fit, entry=entry)
    if chosen is None:
        _check_kind(path, content)
    tensors = likely_state(path, content, entry=entry) if chosen is None else chosen[0]
    check_finite(path, tensors)
    try:
        network, key_map = fitted(tensors) if chosen is None else chosen[1]
        state = apply_key_map(key_map, tensors)
    except _MISFITS as error:
        raise ValueError(f"{path} does not fit {name}: {error}. {_describe(tensors)}") from error
    check_finite(path, state)  # a spectral norm may be zero
    # The network has no memory yet: it takes the tensors over as they are.
    network.load_state_dict(state, strict=True, assign=True)
    sizes: Any = network.config
    labelled = family.labelled and sizes.num_classes > 0
    card = GeneratorCard(
        name=str(stated.get("case", path.stem)),
        family=family.proper_name,
        architecture=sizes.architecture,
        dataset="",
        resolution=sizes.resolution,
        num_classes=sizes.num_classes,
        latent_dim=sizes.latent_dim,
        code_dim=getattr(sizes, "code_dim", sizes.latent_dim),
        supervision="class labels" if labelled else "none",
        truncates=family.truncates,
    )
    return _placed(network, card, device, channels_last=family.channels_last)


def load_embedded(name: str, device: torch.device | str = "cpu") -> Generator:
    """Load a generator that ships with the package, as float32.

    Args:
        name: Catalogue name of an embedded generator.
        device: Where to put it.

    Returns:
        The frozen generator.
    """
    file = cards.shipped_folder() / f"{name}{cards.WEIGHTS_SUFFIX}"
    header = cards.shipped_header(file)
    card = cards.embedded_card(name, header)
    configs = find_family(card.family.lower()).configs
    (kind,) = [each for each in configs if each.architecture == card.architecture]
    with torch.device("meta"):  # the weights bring their own memory
        network = kind(**json.loads(header["config"])).build()
    network.load_state_dict(read_shipped(file), strict=True, assign=True)
    return _placed(network, card, device, channels_last=True)


def find_family(name: str) -> Family:
    """Import the record of one of `FAMILY_MODULES`."""
    return next(family for family in _families(FAMILY_MODULES[name]) if family.name == name)


def plan(
    family: str, stated: Mapping[str, Any], tensors: Tensors, truncation: Truncation | None = None
) -> Plan:
    """Build the network of a public checkpoint on the meta device, and its key map.

    Args:
        family: One of `FAMILY_MODULES`.
        stated: The config as given to `from_checkpoint`, completed by the family's reader.
        tensors: The file's tensors, of which names and shapes are looked at.
        truncation: See `from_checkpoint`.

    Returns:
        The network without memory, and the source of each of its tensors.

    Raises:
        ValueError: Neither the config nor the tensors tell a needed number.
    """
    with torch.device("meta"):
        return find_family(family).plan(stated, tensors, truncation)


def _families(module: str) -> Sequence[Family]:
    # By name, and only when asked for: the package behind BigGAN-deep takes seconds to import.
    families: Sequence[Family] = import_module(f"gseg.generators.{module}").FAMILIES
    return families


def _placed(
    network: nn.Module, card: GeneratorCard, device: torch.device | str, *, channels_last: bool
) -> Generator:
    if channels_last:
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Generator(network.to(device), card)


def _check_kind(path: Path, content: object) -> None:
    """Refuse what is known to be of another program, and say how to bring it here."""
    for state in every_state(content).values():
        for mark, told in _OTHER_STYLEGANS.items():
            if mark in state:
                raise ValueError(f"{path} {told}")


def _describe(tensors: Tensors) -> str:
    """Say in one sentence what a file looks like, and what to try."""
    for module in dict.fromkeys(FAMILY_MODULES.values()):
        family = _families(module)[0]  # all of a module have files of one form
        if not family.looks_like:
            continue
        try:
            with torch.device("meta"):
                network, _ = family.plan({}, tensors, None)
        except (ValueError, KeyError, IndexError):
            continue
        sizes: Any = network.config
        return (
            f"The file looks like {family.looks_like} ({sizes.architecture}, "
            f"{sizes.resolution} px, {sizes.num_classes or 'no'} classes): choose that family and "
            "those sizes."
        )
    return f"The file's first tensors are {', '.join([*tensors][:3])}: is it a generator's file?"


def _read_config(config: Mapping[str, Any] | Path | str) -> Mapping[str, Any]:
    """Read the config, from a JSON file if it is a path."""
    if isinstance(config, Mapping):
        return config
    try:
        parsed = json.loads(read_text(Path(config)))
    except (OSError, ValueError) as error:
        raise ValueError(f"The config {config} cannot be read as JSON: {error}.") from error
    if not isinstance(parsed, Mapping):
        raise ValueError(
            f"The config {config} holds a {type(parsed).__name__}, expected an object."
        )
    return parsed
