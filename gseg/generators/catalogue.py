"""The catalogue: every generator that can be loaded by name.

Embedded generators ship with the package. Published ones need their weights file, given as
``checkpoint`` or found in the folder that the environment variable ``GSEG_WEIGHTS`` names. Of your
own, either register one in the running program::

    card = GeneratorCard(name="mygan.birds64", family="MyGAN", architecture="mine",
                         dataset="birds", resolution=64, num_classes=0, latent_dim=128,
                         code_dim=128)
    register_generator(card, lambda: my_network)
    generator = load_generator("mygan.birds64")

or write a function without arguments that returns a `gseg.generators.contract.Generator` into a
Python file and name it as ``path/to/file.py:function``. The second form also works where several
processes load the generator by its name, as sweeps do. The network is called as
``network(code, y)`` and gives (N, 3, R, R) in [-1, 1], the same each time; a few pictures are tried
when it is loaded first (`gseg.generators.own`).

PyTorch is imported when a generator is loaded, not before.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from gseg.generators.cards import PUBLISHED, GeneratorCard, PublishedGenerator, embedded_cards
from gseg.storage.callables import absolute_callable
from gseg.storage.files import fetch_input, find_inputs
from gseg.storage.mirror import describe, storage_folder
from gseg.words import unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

    from gseg.generators.contract import Generator

_WEIGHTS: Final = "GSEG_WEIGHTS"
# What `use_weights` was told, in this process.
_chosen: Path | None = None
_registered: Final[dict[str, tuple[GeneratorCard, "Callable[[], nn.Module]"]]] = {}
_MARK: Final = ".py:"
_ANALYTIC: Final = "analytic.ellipses"
WEIGHT_SUFFIXES: Final = (".pth", ".pt", ".pkl", ".bin", ".pth.tar", ".ckpt", ".safetensors")
"""Of weights files in any case; what is in them, their content says."""
Kind = Literal["all", "embedded", "snapshots", "published"]


def list_generators(kind: Kind = "all") -> list[GeneratorCard]:
    """Describe the generators of the catalogue.

    Args:
        kind: ``embedded`` for those whose weights are in the package, ``snapshots`` for weights of
            one of them from earlier in its training, ``published`` for the public checkpoints in
            the order of Melas-Kyriazi et al. 2022, Table 2, ``all`` for all of these and those
            registered in this process.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got '{kind}'.")
    cards = [("snapshots" if card.snapshot_of else "embedded", card) for card in embedded_cards()]
    cards += [("published", entry.card) for entry in PUBLISHED]
    cards += [("registered", card) for card, _ in _registered.values()]
    return [card for of, card in cards if kind in ("all", of)]


def load_generator(
    name: str,
    checkpoint: Path | str | None = None,
    *,
    device: "torch.device | str" = "cpu",
    truncation: float | None = None,
) -> "Generator":
    """Load a generator of the catalogue.

    Args:
        name: Catalogue name, such as ``sngan.scenes32`` or ``sagan.imagenet128``;
            ``analytic.ellipses32``, which needs no weights; or a generator of your own, see the
            module's text.
        checkpoint: Weights file of a published generator; without it, the file is looked for in
            ``$GSEG_WEIGHTS`` as its name with one of `WEIGHT_SUFFIXES`.
        device: Where to put it.
        truncation: Of published StyleGAN2 (psi) and BigGAN-deep; None for none.

    Returns:
        The frozen generator.

    Raises:
        ValueError: The name is unknown, a published generator's weights are not there, it has no
            truncation, or a file of your own does not give a generator.
    """
    published = {entry.card.name: entry for entry in PUBLISHED}
    if truncation is not None and name not in published:
        raise ValueError(f"{name} has no truncation, got {truncation}: leave it out.")
    if name in _registered or own_file(name) is not None:
        # Here, not above: PyTorch is imported with it.
        from gseg.generators.own import own_generator, registered_generator

        own = registered_generator(*_registered[name]) if name in _registered else None
        return (own or own_generator(name)).to(device)
    if name in published:
        return _load_published(published[name], checkpoint, device, truncation)
    if (side := name.removeprefix(_ANALYTIC)) != name and side.isdigit():
        from gseg.generators.analytic import analytic_generator

        return analytic_generator(int(side)).to(device)
    check_known(name)
    if checkpoint is not None:
        raise ValueError(
            f"{name} ships with gseg and takes no checkpoint, got {checkpoint}; for a file of "
            "your own use gseg.generators.checkpoints.from_checkpoint."
        )
    from gseg.generators.checkpoints import load_embedded

    return load_embedded(name, device)


@lru_cache(maxsize=2)
def cached_generator(name: str, device: str, truncation: float | None = None) -> "Generator":
    """Load a generator once for each process; see `load_generator`."""
    return load_generator(name, device=device, truncation=truncation)


@cache
def find_card(name: str) -> GeneratorCard:
    """Look up a generator's card, loading it only where no list has it; see `load_generator`."""
    listed = {card.name: card for card in list_generators()}
    return listed.get(name) or load_generator(name).card


def check_known(name: str) -> None:
    """Check that a name is one that there is; files of the user's own are not looked at.

    Raises:
        ValueError: It is not; the message says which one may have been meant.
    """
    analytic = name.removeprefix(_ANALYTIC)
    listed = name in {card.name for card in list_generators()}
    if not listed and own_file(name) is None and not (analytic != name and analytic.isdigit()):
        raise ValueError(unknown_name(name))


def unknown_name(name: str) -> str:
    """Say that a name is unknown, and which one may have been meant."""
    names = [*(card.name for card in list_generators()), f"{_ANALYTIC}32"]
    return unknown("generator", name, names, among="many: gseg generators names them all")


def missing_weights(name: str) -> str:
    """Say that the weights of a published generator are not there, and what was looked for."""
    folder = weights_folder()
    if folder is None:
        looked = "no folder was named to look in"
    else:
        there = "" if folder.is_dir() else ", which is not there,"
        suffixes = ", ".join(WEIGHT_SUFFIXES[1:4])  # what is published ends so
        looked = f"{describe(folder)}{there} has no file {name}.pth ({suffixes})"
    card = find_card(name)
    return (
        f"The weights of {name} are not here: {looked}. Give a folder as --weights or "
        f"GSEG_WEIGHTS; the file is {card.weights}"
        + (f", which 'gseg generators fetch {name}' fetches." if card.address else ".")
    )


def register_generator(card: GeneratorCard, make: "Callable[[], nn.Module]") -> None:
    """Make a generator known to this process under its card's name.

    Args:
        card: Its description; the name must be new, or registered before and replaced.
        make: Gives the network; called each time that the generator is loaded.

    Raises:
        ValueError: The name cannot be told from a file's.
    """
    if not card.name or _MARK in card.name:
        raise ValueError(f"A generator's name must not be empty or hold '.py:', got '{card.name}'.")
    _registered[card.name] = (card, make)


def own_file(name: str) -> Path | None:
    """Give the file of a name of the form ``path/to/file.py:function``, None for other names."""
    # From the right: a folder may be named like that, too.
    path, mark, _ = name.rpartition(_MARK)
    return Path(f"{path}.py") if mark else None


def full_name(name: str) -> str:
    """Give the name by which every process finds a generator: an own file's with its whole path.

    All that is made of a generator bears this name, so that it is found again from any folder.

    Raises:
        ValueError: A file is named without a function.
    """
    return name if own_file(name) is None else absolute_callable(name)


def use_weights(folder: Path | None) -> None:
    """Make a folder that of the published weights, for this process; None leaves it as it is."""
    # Where the weights are is no part of any result: so it is set once for a process, and whoever
    # starts processes that need it hands them `weights_folder`.
    global _chosen
    if folder is not None and folder.absolute() != _chosen:
        _chosen = folder.absolute()
        cached_generator.cache_clear()


def weights_folder() -> Path | None:
    """Give the folder of published weights: the chosen one, or else that of ``GSEG_WEIGHTS``."""
    if _chosen is not None:
        return _chosen
    folder = os.environ.get(_WEIGHTS)
    return storage_folder(folder) if folder else None


def find_weights(name: str) -> Path | None:
    """Find the weights of a published generator: ``<name>`` with its suffix in the folder.

    Raises:
        ValueError: There are several.
        StorageError: The folder mirrors an object store, which does not answer, or the file is not
            what its checksum there says.
    """
    folder = weights_folder()
    if folder is None:
        return None
    # A download that is not finished ends in ".part", its record in ".sha256".
    files = find_inputs(folder, f"{name}.")
    found = [path for path in files if path.name.lower().endswith(WEIGHT_SUFFIXES)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ValueError(f"{describe(folder)} has several weights of {name} ({names}): keep one.")
    return found[0] if found and fetch_input(found[0]) else None


def _load_published(
    entry: PublishedGenerator,
    checkpoint: Path | str | None,
    device: "torch.device | str",
    truncation: float | None,
) -> "Generator":
    """Load a public checkpoint and give it its catalogue card."""
    from gseg.generators.checkpoints import from_checkpoint

    name = entry.card.name
    path = Path(checkpoint) if checkpoint is not None else find_weights(name)
    if path is None:
        raise ValueError(missing_weights(name))
    generator = from_checkpoint(path, entry.config, device=device, truncation=truncation)
    if generator.card.resolution != entry.card.resolution:
        raise ValueError(
            f"{path} makes pictures of {generator.card.resolution} px, {name} has "
            f"{entry.card.resolution}: choose the catalogue name of that resolution."
        )
    generator.card = replace(entry.card, code_dim=generator.card.code_dim)
    return generator
