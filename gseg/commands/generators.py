"""``gseg generators``: the catalogue as a table, and fetching published weights."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gseg.commands.bars import progress_bar
from gseg.generators.cards import GeneratorCard
from gseg.generators.catalogue import (
    Kind,
    find_weights,
    list_generators,
    use_weights,
    weights_folder,
)
from gseg.generators.weights import fetch_weights

_EMBEDDED, _PRESENT, _FETCH, _BY_HAND = "in the package", "present", "fetch", "by hand"
_MEANINGS: Final = {
    _FETCH: "not here; gseg generators fetch NAME downloads it",
    _BY_HAND: "not here; gseg generators fetch NAME says where to find it",
}


def show(options: argparse.Namespace, console: Console) -> int:
    """List the catalogue.

    Args:
        options: ``kind`` and ``weights``.
        console: Receives the table and its legend.

    Returns:
        Exit status 0.

    Raises:
        ValueError: The folder of weights does not exist.
    """
    if options.weights is not None and not options.weights.is_dir():
        raise ValueError(f"there is no folder {options.weights}; --weights names an existing one.")
    folder = _choose_folder(options.weights)
    cards = list_generators(options.kind)
    kinds: tuple[Kind, ...] = ("embedded", "snapshots")
    embedded = {card.name for kind in kinds for card in list_generators(kind)}
    places = [_EMBEDDED if card.name in embedded else _place(card) for card in cards]
    protocols = list(dict.fromkeys(card.fid_protocol for card in cards if card.fid_protocol))
    console.print(_table(cards, places, protocols))
    legend = [f"[{number}] {protocol}" for number, protocol in enumerate(protocols, start=1)]
    legend += [f"{place}: {means}" for place, means in _MEANINGS.items() if place in places]
    if options.kind not in kinds:
        chosen = folder or "none; set GSEG_WEIGHTS or give --weights DIR"
        legend.append(f"folder of published weights: {chosen}")
    console.print("\n".join(legend), markup=False)
    return 0


def fetch(options: argparse.Namespace, console: Console) -> int:
    """Download published weights.

    Args:
        options: ``name`` and ``weights``.
        console: Hears where the file is.

    Returns:
        Exit status 0.

    Raises:
        ValueError: It cannot be fetched; the message says why, and how to get it by hand.
    """
    folder = _choose_folder(options.weights)
    if folder is None:
        raise ValueError("where to? Give --weights DIR, or set GSEG_WEIGHTS to a folder.")
    with progress_bar(options.name, in_bytes=True) as progress:
        path = fetch_weights(options.name, folder, progress=progress)
    size = path.stat().st_size / 2**20
    console.print(f"{path}: {size:,.1f} MiB; sweeps take it with --weights {folder}", markup=False)
    return 0


def _choose_folder(weights: Path | None) -> Path | None:
    """Make the folder that was asked for that of this process; give the one that counts."""
    use_weights(weights)
    return weights or weights_folder()


def _place(card: GeneratorCard) -> str:
    if find_weights(card.name) is not None:
        return _PRESENT
    return _FETCH if card.address else _BY_HAND


def _table(cards: Sequence[GeneratorCard], places: Sequence[str], protocols: list[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("name", "family", "data set", "px", "classes", "FID", "weights"):
        number = heading in ("px", "classes", "FID")
        table.add_column(heading, justify="right" if number else "left", no_wrap=True)
    for card, place in zip(cards, places, strict=True):
        dataset = card.dataset.removesuffix(f", {card.resolution} px")
        classes = str(card.num_classes or "")
        distance = _distance(card, protocols)
        cells = (card.name, card.family, dataset, str(card.resolution), classes, distance, place)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _distance(card: GeneratorCard, protocols: list[str]) -> str:
    """Show the published FID with its protocol's number in the legend."""
    if card.published_fid is None:
        return ""
    mark = f" [{protocols.index(card.fid_protocol) + 1}]" if card.fid_protocol else ""
    return f"{card.published_fid:.2f}{mark}"
