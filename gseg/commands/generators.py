"""``gseg generators``: the catalogue as a table, and fetching published weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from gseg.commands.app import console, make_app
from gseg.commands.bars import plain_table, progress_bar
from gseg.commands.given import needs, only_where
from gseg.generators.catalogue import (
    Kind,
    check_known,
    find_weights,
    list_generators,
    use_weights,
    weights_folder,
)

if TYPE_CHECKING:
    from gseg.generators.cards import GeneratorCard

Weights = Annotated[
    Path | None,
    Parameter(help="Folder of published weights; without it the environment's GSEG_WEIGHTS."),
]

_EMBEDDED, _PRESENT, _FETCH, _BY_HAND = "in the package", "present", "fetch", "by hand"
_MEANINGS: Final = {
    _FETCH: "not here; gseg generators fetch NAME downloads it",
    _BY_HAND: "not here; gseg generators fetch NAME says where to find it",
}
_WITH_GSEG: Final[tuple[Kind, ...]] = ("embedded", "snapshots")

app = make_app("generators", "")


@app.default
@needs(only_where("--kind", ["published", "all"], "--weights"))
def generators(*, kind: Kind = "all", weights: Weights = None) -> int:
    """List the generators of the catalogue, or fetch the weights of a published one.

    Args:
        kind: Embedded generators and snapshots of their training ship with gseg, published ones
            need their weights.
        weights: See `Weights`.

    Raises:
        ValueError: The folder of weights does not exist.
    """
    if weights is not None and not weights.is_dir():
        raise ValueError(f"there is no folder {weights}; --weights names an existing one.")
    use_weights(weights)
    cards = list_generators(kind)
    shipped = {card.name for each in _WITH_GSEG for card in list_generators(each)}
    places = [_EMBEDDED if card.name in shipped else _place(card) for card in cards]
    protocols = list(dict.fromkeys(card.fid_protocol for card in cards if card.fid_protocol))
    legend = [f"[{number}] {protocol}" for number, protocol in enumerate(protocols, start=1)]
    legend += [f"{place}: {means}" for place, means in _MEANINGS.items() if place in places]
    if kind not in _WITH_GSEG:
        chosen = weights or weights_folder() or "none; set GSEG_WEIGHTS or give --weights DIR"
        legend.append(f"folder of published weights: {chosen}")
    rows = [_cells(card, place, protocols) for card, place in zip(cards, places, strict=True)]
    headings = ("name", "family", "data set", "px", "classes", "FID", "weights")
    console().print(plain_table(headings, rows, right=("px", "classes", "FID")))
    console().print("\n".join(legend))
    return 0


@app.command
def fetch(name: str, /, *, weights: Weights = None) -> int:
    """Download the weights of a published generator.

    An interrupted download goes on where it stopped. Where there is no direct address, say how to
    get the file by hand.

    Args:
        name: Catalogue name, such as stylegan2.ffhq1024.
        weights: See `Weights`.

    Raises:
        ValueError: It cannot be fetched; the message says why, and how to get it by hand.
    """
    from gseg.generators.weights import fetch_weights
    from gseg.storage.files import format_bytes

    check_known(name)
    use_weights(weights)
    folder = weights or weights_folder()
    if folder is None:
        raise ValueError("where to? Give --weights DIR, or set GSEG_WEIGHTS to a folder.")
    with progress_bar(name, in_bytes=True) as progress:
        path = fetch_weights(name, folder, progress=progress)
    size = format_bytes(path.stat().st_size)
    console().print(f"{path}: {size}; sweeps take it with --weights {folder}")
    return 0


def _place(card: "GeneratorCard") -> str:
    if find_weights(card.name) is not None:
        return _PRESENT
    return _FETCH if card.address else _BY_HAND


def _cells(card: "GeneratorCard", place: str, protocols: Sequence[str]) -> Sequence[str]:
    dataset = card.dataset.removesuffix(f", {card.resolution} px")
    # A published FID stands with its protocol's number in the legend.
    mark = f" [{protocols.index(card.fid_protocol) + 1}]" if card.fid_protocol else ""
    distance = "" if card.published_fid is None else f"{card.published_fid:.2f}{mark}"
    classes = str(card.num_classes or "")
    return (card.name, card.family, dataset, str(card.resolution), classes, distance, place)
