"""What lies in a storage, and which of it no row needs.

A row names its scores; these name what they were made from, and so on: all that is reached in this
way is needed. The distance of a generator is found by its value, which the row repeats, and of rows
that end with a direction all directions of their generators are needed. What no row needs may
belong to a run that has not come to its rows, so what is young stays; and samples or statistics
from which nothing was made may be all that somebody wanted (`gseg samples draw`, `gseg fid`), so
they stay as well, with all that they were made from, unless these are asked for.

Nothing of PyTorch is needed for that: manifests are read, not the artifacts.
"""

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final, Literal

from gseg.storage.damage import DAMAGED
from gseg.storage.digests import digest, is_digest
from gseg.storage.leases import LEASE, is_held, lease
from gseg.storage.manifests import ABOUT, MANIFEST, OLDER_ABOUT
from gseg.storage.mirror import describe, discard, listed_files, place_of, read_end

STAGES: Final = (
    *("embeddings", "candidates", "direction", "operators", "threshold", "samples", "selection"),
    *("relabelled", "segmenter", "statistics", "distance", "scores"),
)
"""Folders of artifacts."""
UNFINISHED: Final = "unfinished"
LEFTOVERS: Final = "leftovers"
OTHER: Final = "other"
_PROGRESS: Final = "progress"
NOTES: Final = (_PROGRESS, "failures", "errors", "builds")
"""Folders of small files that are no artifacts."""
KINDS: Final = (*STAGES, UNFINISHED, DAMAGED, LEFTOVERS, *NOTES, OTHER)
"""Kinds of what lies in a storage: `STAGES` and `NOTES`, and others."""
# Only sweeps and searches make these; the others may be what somebody wanted.
_OF_TRIALS: Final = frozenset({"selection", "relabelled", "segmenter", "distance", "scores"})
# Files that were to be renamed when they were whole, by processes that were killed.
_LEFTOVER: Final = re.compile(r"\..*\.part|\.lease\.[0-9a-f]{32}|\.probe-.*")
_DIGEST: Final = re.compile(r'"([0-9a-f]{20})"')
_ROWS: Final = "rows.parquet"
_DAY: Final = 24 * 3600.0
_LARGEST: Final = 2**26  # bytes of a manifest
_READERS: Final = 16

Progress = Callable[[int, int | None], object]
State = Literal["needed", "recent", "rowless", "spare", "note"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Piece:
    """Something that lies in a storage.

    Attributes:
        kind: One of `KINDS`.
        place: Below the storage.
        files: How many.
        size: In bytes.
        changed: When its youngest file was written, in seconds since 1970.
        is_believed: Whether it says what it was made from, and has the name that follows.
        config: The settings that name it.
        parents: Names of what it was made from, and digests of what is no artifact.
        facts: What its maker reported.
        contents: Digests of its files.
        is_hollow: Whether it is a set without shards.
    """

    kind: str
    place: str
    files: int
    size: int
    changed: float
    is_believed: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    parents: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    contents: Sequence[str] = ()
    is_hollow: bool = False

    @property
    def name(self) -> str:
        """Of an artifact its digest."""
        return self.place.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What lies in a storage, and what of it is needed.

    Attributes:
        pieces: All that there is.
        states: Of each, ``needed`` by rows; ``recent``, made within a day or since the last row;
            ``rowless``, from which nothing was made; or what one of the latter two was made from;
            ``spare``; or a ``note``. Empty if that cannot be said.
        copies: Bytes of copies on this machine of what is in an object store.
        rows: How many there are.
        scores: Names of the scores of rows.
        trouble: Why nothing may be deleted; empty if it may.
    """

    pieces: tuple[Piece, ...]
    states: Mapping[Piece, State] = field(default_factory=dict)
    copies: int = 0
    rows: int = 0
    scores: frozenset[str] = frozenset()
    trouble: str = ""

    def of(self, state: State) -> list[Piece]:
        """Give the pieces of a state."""
        return [each for each, its in self.states.items() if its == state]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Named:
    """What the rows of some folders name.

    Attributes:
        rows: How many they are.
        youngest: When the last of them was written, in seconds since 1970.
        scores: Names of scores.
        distances: Values and protocols of distances.
        generators: Those of rows that end with a direction.
    """

    rows: int
    youngest: float
    scores: frozenset[str]
    distances: frozenset[tuple[float, str]]
    generators: frozenset[str]


def survey(
    storage: Path,
    results: Sequence[Path],
    *,
    recent: bool = False,
    rowless: bool = False,
    progress: Progress = lambda done, total: None,
) -> Survey:
    """Look through a storage for what is needed by the rows of some folders, and those below them.

    Args:
        storage: A folder, or the mirror of an object store.
        results: Such as ``results``.
        recent: Whether what is young is to spare as well.
        rowless: Whether that is from which nothing was made.
        progress: Hears how much has been read, and of how much.

    Raises:
        OSError: A folder cannot be read.
        StorageError: The object store does not answer.
    """
    files = listed_files(storage)
    copies = {} if place_of(storage) is None else listed_files(storage, here=True)
    own = (DAMAGED, *NOTES)  # what an object store has not
    files |= {path: about for path, about in copies.items() if path.partition("/")[0] in own}
    copied = sum(size for size, _ in copies.values())
    pieces = _pieces(storage, files, progress)
    try:
        named = _named_by_rows(results)
        states = _states(storage, pieces, named, recent=recent, rowless=rowless)
    except ValueError as error:
        return Survey(pieces=pieces, copies=copied, trouble=str(error))
    leased = (path.rpartition("/")[0] for path in files if path.endswith(f"/{LEASE}"))
    held = next((place for place in leased if is_held(storage / place)), None)
    trouble = held and (
        f"A process works in {describe(storage / held)}: wait until it has ended, or stop it."
    )
    return Survey(
        pieces=pieces,
        states=states,
        copies=copied,
        rows=named.rows,
        scores=named.scores,
        trouble=trouble or "",
    )


def _pieces(
    storage: Path, files: Mapping[str, tuple[int, float]], progress: Progress
) -> tuple[Piece, ...]:
    groups: dict[tuple[str, str], dict[str, tuple[int, float]]] = {}
    for path, about in files.items():
        groups.setdefault(_belongs(path), {})[path] = about
    pieces: list[Piece] = []
    # An object store would take hours if it was asked for one after the other.
    with ThreadPoolExecutor(1 if place_of(storage) is None else _READERS) as readers:
        for piece in readers.map(lambda each: _piece(storage, each[0], each[1]), groups.items()):
            pieces.append(piece)
            progress(len(pieces), len(groups))
    return tuple(pieces)


def _belongs(path: str) -> tuple[str, str]:
    """Say to what a file belongs: its kind and place."""
    first, *rest = path.split("/")
    in_stage = first in STAGES and len(rest) > 1 and is_digest(rest[0])
    if (in_stage or first in NOTES or not rest) and _LEFTOVER.fullmatch((rest or [first])[-1]):
        return LEFTOVERS, path
    if first in NOTES and rest:
        return first, path
    if in_stage or (first == DAMAGED and len(rest) > 1):
        return first, f"{first}/{rest[0]}"
    return OTHER, first


def _piece(storage: Path, of: tuple[str, str], files: Mapping[str, tuple[int, float]]) -> Piece:
    kind, place = of
    size = sum(size for size, _ in files.values())
    # The lease of who was killed while he deleted it says nothing of its age.
    times = [at for path, (_, at) in files.items() if path != f"{place}/{LEASE}"]
    changed = max(times or (at for _, at in files.values()))
    told: dict[str, Any] = {}
    shards = any(path.startswith(f"{place}/shard-") and path.endswith(".parquet") for path in files)
    if kind in STAGES:
        about = next((n for n in (ABOUT, OLDER_ABOUT) if f"{place}/{n}" in files), None)
        grows = kind == "samples" and (shards or about is not None)
        if not grows and f"{place}/{MANIFEST}" not in files:
            kind = UNFINISHED
        else:
            told = _told(storage, place, (about or ABOUT) if grows else MANIFEST)
    return Piece(
        kind=kind,
        place=place,
        files=len(files),
        size=size,
        changed=changed,
        **told,
        is_hollow=kind == "samples" and not shards,
    )


def _told(storage: Path, place: str, file: str) -> dict[str, Any]:
    """Read what an artifact says of itself; nothing if its name does not follow from that."""
    path, (stage, name) = storage / place / file, place.split("/")
    try:
        # Not fetched: a manifest here says that its files are here, too.
        text = path.read_bytes() if path.exists() else read_end(path, _LARGEST)
    except FileNotFoundError:  # gone this moment
        return {}
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        told: dict[str, Any] = json.loads(text)
        config, parents = told["config"], told["parents"]
        if digest(stage, told.get("version", 1), config, parents) == name:
            contents = [about["sha256"][:20] for about in told.get("files", {}).values()]
            facts = {**told.get("facts", {})}
            return {
                "is_believed": True,
                "config": config,
                "parents": parents,
                "facts": facts,
                "contents": contents,
            }
    return {}


def _named_by_rows(folders: Sequence[Path]) -> _Named:
    """Read what rows name.

    Raises:
        ValueError: There are none, or some cannot be read or do not say what they need.
    """
    import pyarrow.parquet as pq

    from gseg.pipeline.rows import results as read_results

    files: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"There is no folder {folder}: name one of rows (--results).")
        found = [path for path in sorted(listed_files(folder)) if Path(path).name == _ROWS]
        aside = next((path for path in found if DAMAGED in path.split("/")), None)
        if aside is not None:
            raise ValueError(
                f"{folder / aside} was damaged and put aside, so that nobody knows what its rows "
                "need: run their command again, which writes them anew, and delete this file."
            )
        files += (folder / path for path in found)
    count, youngest = 0, 0.0
    scores: set[str] = set()
    distances: set[tuple[float, str]] = set()
    generators: set[str] = set()
    for file in files:
        try:
            columns = pq.read_schema(file).names
            if "scores" not in columns and "benchmark" not in columns:
                # Of a recipe that ends with directions, or a list beside a table.
                own = [name for name in ("recipe", "generator") if name in columns]
                lines = pq.read_table(file, columns=own).to_pylist()
                generators |= {line["generator"] for line in lines if len(line) == 2}
                count, youngest = count + len(lines), max(youngest, file.stat().st_mtime)
                continue
        except (OSError, ValueError) as error:  # those of pyarrow are of these kinds, too
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"Cannot read the rows in {file}: {reason} Move the file "
                "away, and run its command again."
            ) from error
        table = read_results(file.parent)
        if table["scores"].isna().any():
            raise ValueError(
                f"{file} has rows that do not name their scores, as an older version wrote them: "
                "run its sweep again, which fills them in."
            )
        scores |= {*table["scores"]}
        measured = table.dropna(subset=["fid", "fid_protocol"])
        distances |= {*zip(measured["fid"], measured["fid_protocol"], strict=True)}
        count += len(table)
        youngest = max((youngest, *(each.timestamp() for each in table["finished"].dropna())))
    if not count:
        where = " and ".join(map(str, folders))
        raise ValueError(
            f"There are no rows in {where}, so that all would count as not needed: name the folder "
            "of your rows (--results)."
        )
    return _Named(
        rows=count,
        youngest=youngest,
        scores=frozenset(scores),
        distances=frozenset(distances),
        generators=frozenset(generators),
    )


def _states(
    storage: Path, pieces: Sequence[Piece], named: _Named, *, recent: bool, rowless: bool
) -> dict[Piece, State]:
    """Say of each piece why it stays, or that it is to spare.

    Raises:
        ValueError: What is needed cannot be said.
    """
    whole = {each.name: each for each in pieces if each.kind in STAGES}
    links = _links(whole)
    needed = _needed(storage, whole, links, named)
    day = time.time() - _DAY
    # A run may use what it made long before: what is younger than the last row may be of one.
    begun = min(day, named.youngest)
    used = {name for made_from in links.values() for name in made_from}

    def state_of(each: Piece) -> State:
        if each.kind == OTHER or (each.kind in NOTES and each.kind != _PROGRESS):
            return "note"
        if each.kind in STAGES and each.name in needed:
            return "needed"
        if not recent and each.changed >= (begun if each.kind in (*STAGES, UNFINISHED) else day):
            return "recent"
        may_be_all = each.kind in STAGES and each.kind not in _OF_TRIALS and not each.is_hollow
        return "rowless" if may_be_all and each.name not in used and not rowless else "spare"

    states = {each: state_of(each) for each in pieces}
    reasons: tuple[State, ...] = ("recent", "rowless")
    for reason in reasons:
        kept = [each.name for each, state in states.items() if state == reason]
        for each in map(whole.__getitem__, _reached(links, kept)):
            if states[each] == "spare":
                states[each] = reason
    return states


def _links(whole: Mapping[str, Piece]) -> dict[str, set[str]]:
    """Say from which others each artifact was made: those that it names.

    It may do so by their names, or, as of embeddings or a labeller that a command was given as a
    file, by the content of one of their files.
    """
    contents: dict[str, set[str]] = defaultdict(set)
    for name, each in whole.items():
        for content in each.contents:
            contents[content].add(name)
    links = {}
    for name, each in whole.items():
        named = set(_DIGEST.findall(json.dumps([each.config, each.parents])))
        links[name] = named & whole.keys()
        links[name] |= {other for word in named & contents.keys() for other in contents[word]}
        links[name].discard(name)
    # A set whose batch did not fit into memory has no shards, and says which set takes its place:
    # that one is not found without it.
    sets = {name: _but_batch(each) for name, each in whole.items() if each.kind == "samples"}
    hollow: dict[str, set[str]] = defaultdict(set)
    for name, settings in sets.items():
        if whole[name].is_hollow:
            hollow[settings].add(name)
    for name, settings in sets.items():
        if not whole[name].is_hollow:
            links[name] |= hollow[settings]
    return links


def _but_batch(each: Piece) -> str:
    """Name samples by all that names them but how many were drawn at once."""
    settings = {**each.config.get("samples", {}), "batch": 0, "blocks_per_shard": 0}
    return digest({**each.config, "samples": settings}, each.parents)


def _reached(links: Mapping[str, Iterable[str]], names: Iterable[str]) -> set[str]:
    """Give artifacts and all that they were made from, as far as it is there."""
    reached: set[str] = set()
    left = [name for name in names if name in links]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += links[name]
    return reached


def _needed(
    storage: Path,
    whole: Mapping[str, Piece],
    links: Mapping[str, Iterable[str]],
    named: _Named,
) -> set[str]:
    """Give the names of what rows need.

    Raises:
        ValueError: They are of another storage, or something needed does not say what it needs.
    """
    roots = set(named.scores)
    for name, each in whole.items():
        facts = each.facts
        if each.kind == "distance":
            measured = facts.get("value"), facts.get("protocol")
            roots |= {name} if measured in named.distances else set()
        if each.kind == "direction" and each.config.get("generator") in named.generators:
            roots.add(name)
    needed = _reached(links, roots)
    # Baselines, which are made from nothing, and distances are the same in every storage.
    mine = any(whole[name].kind == "scores" and whole[name].parents for name in needed)
    if not (mine if named.scores else needed):
        raise ValueError(
            f"None of the {named.rows:,} rows is of {describe(storage)}, so that all would count "
            "as not needed: name the folder of its rows (--results)."
        )
    lost = next((whole[name] for name in sorted(needed) if not whole[name].is_believed), None)
    if lost is not None:
        raise ValueError(
            f"{describe(storage / lost.place)} is needed, but does not say what it was made from: "
            "it is damaged. Run its command again, which makes it anew."
        )
    return needed


def prune(
    storage: Path, pieces: Iterable[Piece], progress: Progress = lambda done, total: None
) -> list[Piece]:
    """Delete pieces of a storage, each under its lease; one in which somebody works stays.

    Args:
        storage: Their storage.
        pieces: Which. What was made from others goes after them, so that whoever is interrupted
            finds the rest to be what it was.
        progress: Hears how many are done, and of how many.

    Returns:
        Those that were deleted.

    Raises:
        OSError: A file cannot be deleted.
        StorageError: The object store does not answer.
    """
    by_name = {each.name if each.kind in STAGES else each.place: each for each in pieces}
    ordered = TopologicalSorter(
        {
            name: [each for each in piece.parents if each in by_name]
            for name, piece in by_name.items()
        }
    )
    deleted = []
    for done, name in enumerate(ordered.static_order()):
        progress(done, len(by_name))
        piece = by_name[name]
        if piece.kind in (LEFTOVERS, _PROGRESS):
            discard(storage / piece.place)
            with suppress(OSError):  # there are others
                (storage / piece.place).parent.rmdir()
        elif not _delete(storage / piece.place):
            continue
        deleted.append(piece)
    return deleted


def _delete(folder: Path) -> bool:
    """Delete a folder; False if somebody works in it."""
    if is_held(folder):
        return False
    discard(folder / LEASE)  # its holder is dead
    with lease(folder, unless=lambda: True) as held:
        if not held:
            return False
        # Without a manifest it counts as unfinished; a set says to the end whose it is.
        names = {*listed_files(folder), *listed_files(folder, here=True)} - {LEASE}
        for name in sorted(
            names, key=lambda name: (name != MANIFEST, name in (ABOUT, OLDER_ABOUT), name)
        ):
            discard(folder / name)
    folders = sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True)
    for each in (*folders, folder, folder.parent):
        with suppress(OSError):  # somebody has begun anew
            each.rmdir()
    return True
