"""``gseg storage``: what lies in a storage, and the deletion of what no row needs."""

import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gseg.commands.app import Place, console
from gseg.commands.bars import plain_table, progress_bar
from gseg.commands.given import needs, only_with
from gseg.storage.files import format_bytes

if TYPE_CHECKING:
    from rich.table import Table

    from gseg.pipeline.inventory import Piece, Survey

_WORDS: Final = {
    "unfinished": "unfinished work",
    "damaged": "damaged, put aside",
    "leftovers": "files cut off",
    "progress": "progress notes",
    "errors": "failures' stories",
    "builds": "records of builds",
    "other": "anything else",
}
"""What is shown of kinds that are no stages."""


@needs(only_with("--prune", "--yes"))
def storage(
    *,
    storage: Place = Path("storage"),
    results: tuple[Path, ...] = (Path("results"),),
    recent: bool = False,
    rowless: bool = False,
    prune: bool = False,
    yes: bool = False,
) -> int:
    """Show what lies in a storage, and delete what no row needs.

    Needed is all that the rows in --results were made from. Nothing is deleted without --prune, nor
    while a process works in the storage. To be rid of one sweep, delete its folder of results
    first; what others share stays. Rows in other folders are not seen: name all that there are,
    those of other machines too.

    gseg storage --results results old/results --prune

    Args:
        storage: A folder, or s3://BUCKET/PREFIX.
        results: Folders of rows, or of such folders.
        recent: Also what was made within a day, or since the last row; without it that is kept, as
            a run that has not come to its rows may need it.
        rowless: Also samples, statistics and directions from which nothing was made, as gseg
            samples draw and gseg fid leave them; without it they are kept, with what they were made
            from.
        prune: Delete what no row needs and is not kept, after a question.
        yes: Delete it without a question.

    Raises:
        ValueError: There is no such storage. With --prune: what is needed cannot be said, somebody
            works in the storage, or there is nobody to answer.
    """
    from gseg.pipeline.inventory import prune as delete
    from gseg.pipeline.inventory import survey
    from gseg.storage.mirror import describe, place_of
    from gseg.storage.store import Store

    if place_of(storage) is None and not storage.is_dir():
        raise ValueError(f"There is no folder {storage}: name a sweep's storage (--storage).")

    def look() -> "Survey":
        with progress_bar("reading manifests") as progress:
            found = survey(storage, results, recent=recent, rowless=rowless, progress=progress)
        if prune and found.trouble:
            raise ValueError(f"Nothing is deleted. {found.trouble}")
        return found

    say, found = console().print, look()
    files = sum(each.files for each in found.pieces)
    say(f"{describe(storage)}: {_size(found.pieces)} in {files:,} files")
    if found.pieces:
        say(_table(found))
    if found.copies:
        say(f"copies on this machine: {format_bytes(found.copies)} in {storage}")
    for line in _told(found, results):
        say(line)
    spare = found.of("spare")
    if prune and spare:
        if not yes:
            if not _agrees(f"Delete these {_amount(spare)}? [y/N] "):
                return 0
            # Much may have happened before the answer.
            asked, spare = {each.place for each in spare}, look().of("spare")
            spare = [each for each in spare if each.place in asked]
        with progress_bar("deleting") as progress:
            gone = delete(storage, spare, progress)
        left = len(spare) - len(gone)
        say(f"deleted {_amount(gone)}{f'; {left} left, in which somebody works' if left else ''}")
    say(f"free on the disk of {storage}: {format_bytes(Store(storage).free_bytes())}")
    return 0


def _table(found: "Survey") -> "Table":
    """Show what there is, by kind."""
    from gseg.pipeline.inventory import KINDS

    groups = {kind: [each for each in found.pieces if each.kind == kind] for kind in KINDS}
    rows = [_row(found, _WORDS.get(kind, kind), each) for kind, each in groups.items() if each]
    rows.append(_row(found, "all", found.pieces))
    headings = ("what", "there", "no row needs", "to delete")
    return plain_table(headings, rows, right=headings[1:])


def _row(found: "Survey", what: str, pieces: "Collection[Piece]") -> tuple[str, ...]:
    states = [(each, found.states.get(each, "note")) for each in pieces]
    columns = (
        pieces,
        [each for each, state in states if state in ("recent", "rowless", "spare")],
        [each for each, state in states if state == "spare"],
    )
    # As wide as the widest, so that counts stand below each other, too.
    return what, *(f"{len(each):,} {_size(each):>9}" if each else "" for each in columns)


def _told(found: "Survey", results: Collection[Path]) -> Iterator[str]:
    """Say in lines what the table is about, and how what it shows is deleted."""
    if not found.states:
        yield f"What no row needs cannot be said. {found.trouble}"
        return
    here = sum(each.kind == "scores" for each in found.of("needed"))
    where = " and ".join(map(str, results))
    yield f"{found.rows:,} rows in {where} name {len(found.scores):,} scores; {here:,} are here"
    if young := found.of("recent"):
        yield f"kept, of the last day or younger than the last row: {_amount(young)} (--recent)"
    if made := found.of("rowless"):
        yield f"kept, from which nothing was made: {_amount(made)} (--rowless)"
    if found.trouble:
        yield f"nothing can be deleted now. {found.trouble}"
    elif spare := found.of("spare"):
        yield f"to delete: {_amount(spare)} (--prune)"
    else:
        yield "to delete: nothing"


def _agrees(question: str) -> bool:
    if not sys.stdin.isatty():
        raise ValueError(
            "--prune asks before it deletes, and there is no terminal to answer on: add --yes."
        )
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _amount(pieces: "Collection[Piece]") -> str:
    return f"{len(pieces):,} artifact{'s' if len(pieces) != 1 else ''}, {_size(pieces)}"


def _size(pieces: "Collection[Piece]") -> str:
    return format_bytes(sum(each.size for each in pieces))
