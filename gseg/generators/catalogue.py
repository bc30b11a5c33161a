"""The catalogue: every generator that can be loaded by name.

Embedded generators ship with the package. Published ones need their weights file, given as
``checkpoint`` or found in the folder that the environment variable ``GSEG_WEIGHTS`` names.
"""

import difflib
import os
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Final, Literal, get_args

import torch

from gseg.generators.analytic import analytic_generator
from gseg.generators.checkpoints import from_checkpoint
from gseg.generators.contract import Generator, GeneratorCard
from gseg.generators.embedded import embedded_cards, load_embedded
from gseg.generators.own import load_own, registered_cards
from gseg.generators.published import PUBLISHED, PublishedGenerator
from gseg.storage.files import fetch_input, find_inputs
from gseg.storage.mirror import storage_folder

_WEIGHTS: Final = "GSEG_WEIGHTS"
_chosen: Path | None = None
"""What `use_weights` was told, in this process."""
WEIGHT_SUFFIXES: Final = (".pth", ".pt", ".pkl", ".bin")
Kind = Literal["all", "embedded", "snapshots", "published"]


def list_generators(kind: Kind = "all") -> list[GeneratorCard]:
    """Describe the generators of the catalogue.

    Args:
        kind: ``embedded`` for those whose weights are in the package, ``snapshots`` for weights of
            one of them from earlier in its training, ``published`` for the public checkpoints in
            the order of Melas-Kyriazi et al. 2022, Table 2, ``all`` for all of these and those
            registered in this process.

    Returns:
        Their cards.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got '{kind}'.")
    shipped = embedded_cards()
    cards = [card for card in shipped if kind in ("all", "embedded") and not card.snapshot_of]
    cards += [card for card in shipped if kind in ("all", "snapshots") and card.snapshot_of]
    if kind in ("all", "published"):
        cards += [entry.card for entry in PUBLISHED]
    if kind == "all":
        cards += registered_cards()
    return cards


def load_generator(
    name: str,
    checkpoint: Path | str | None = None,
    *,
    device: torch.device | str = "cpu",
    truncation: float | None = None,
) -> Generator:
    """Load a generator of the catalogue.

    Args:
        name: Catalogue name, such as ``sngan.scenes32`` or ``sagan.imagenet128``;
            ``analytic.ellipses32``, which needs no weights; or a generator of your own, see
            `gseg.generators.own`.
        checkpoint: Weights file of a published generator; without it, the file is looked for in
            ``$GSEG_WEIGHTS`` as its name with one of `WEIGHT_SUFFIXES`.
        device: Where to put it.
        truncation: Of published StyleGAN2 (psi) and BigGAN-deep; None for none.

    Returns:
        The frozen generator.

    Raises:
        ValueError: The name is unknown, a published generator's weights are not there, or it has
            no truncation.
    """
    entries = {entry.card.name: entry for entry in PUBLISHED}
    if truncation is not None and name not in entries:
        raise ValueError(f"{name} has no truncation, got {truncation}: leave it out.")
    if name.startswith("analytic.ellipses") and name.removeprefix("analytic.ellipses").isdigit():
        made = analytic_generator(int(name.removeprefix("analytic.ellipses")))
        return made.to(device)
    own = load_own(name, device)
    if own is not None:
        return own
    if name in {card.name for card in embedded_cards()}:
        if checkpoint is not None:
            raise ValueError(
                f"{name} ships with gseg and takes no checkpoint, got {checkpoint}; for a file of "
                "your own use gseg.generators.from_checkpoint."
            )
        return load_embedded(name, device)
    if name in entries:
        return _load_published(entries[name], checkpoint, device, truncation)
    raise ValueError(unknown_name(name))


@lru_cache(maxsize=2)
def cached_generator(name: str, device: str, truncation: float | None = None) -> Generator:
    """Load a generator once for each process; see `load_generator`."""
    return load_generator(name, device=device, truncation=truncation)


@cache
def find_card(name: str) -> GeneratorCard:
    """Look up a generator's card, loading it only where no list has it; see `load_generator`."""
    for card in list_generators():
        if card.name == name:
            return card
    return load_generator(name).card


def use_weights(folder: Path | None) -> None:
    """Make a folder that of the published weights, for this process.

    Where the weights are is no part of any result: so it is set once for a process, and whoever
    starts processes that need it hands them `weights_folder`.

    Args:
        folder: The folder; None to leave it as it is.
    """
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
        StorageError: The folder mirrors an object store, which does not answer, or the file is not
            what its checksum there says.
    """
    folder = weights_folder()
    if folder is None:
        return None
    found = [path for path in find_inputs(folder, f"{name}.") if path.suffix in WEIGHT_SUFFIXES]
    return found[0] if found and fetch_input(found[0]) else None


def _load_published(
    entry: PublishedGenerator,
    checkpoint: Path | str | None,
    device: torch.device | str,
    truncation: float | None,
) -> Generator:
    """Load a public checkpoint and give it its catalogue card."""
    name = entry.card.name
    path = Path(checkpoint) if checkpoint is not None else find_weights(name)
    if path is None:
        where = f" Published at {entry.card.address}." if entry.card.address else ""
        raise ValueError(
            f"{name} needs its weights ({entry.card.weights}).{where} Pass checkpoint=PATH, or put "
            f"the file into the folder of GSEG_WEIGHTS as {name}.<its suffix>."
        )
    generator = from_checkpoint(path, entry.config, device=device, truncation=truncation)
    if generator.card.resolution != entry.card.resolution:
        raise ValueError(
            f"{path} makes pictures of {generator.card.resolution} px, {name} has "
            f"{entry.card.resolution}: choose the catalogue name of that resolution."
        )
    generator.card = replace(entry.card, code_dim=generator.card.code_dim)
    return generator


def unknown_name(name: str) -> str:
    """Say that a name is unknown, and which one may have been meant."""
    names = [card.name for card in list_generators()]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else "."
    return f"Unknown generator '{name}'{hint} gseg.list_generators() names them all."
