"""What is killed: small commands, what they leave, and the moments at which they are killed."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow.parquet as pq

_SMALL: Final = "--preset smoke --generators analytic.ellipses32 --cpus 2 --plain"
_PLACES: Final = "--storage {storage} --results {out}"
_DRAW: Final = "samples draw analytic.ellipses32 --count 6000 --batch 16 --epsilon 2"
_SWEEP: Final = f"run all_gans {_SMALL} --benchmark scenes:20 --data-size 40 80 {_PLACES}"
# What differs from run to run, in rows and in the lines of a search's points.
_OF_THE_RUN: Final = {"commit", "finished", "seconds"}
_WHAT_IS_MADE_AGAIN: Final = ("_seconds", "_reused", "_mib")


@dataclass(frozen=True, kw_only=True)
class Work:
    """A command.

    Attributes:
        words: Of its command line, with the places that a run has of its own in braces.
        has_storage: Whether it keeps what it makes in a storage, which may be on S3.
        input: Words of a command that makes what it reads, once.
    """

    name: str
    words: str
    has_storage: bool = True
    input: str = ""


WORKS: Final = {
    work.name: work
    for work in (
        Work(name="sweep", words=_SWEEP),
        # Actors draw, and Ray Train's workers train.
        Work(name="jobs", words=f"{_SWEEP} --placement cluster".replace("40 80", "40")),
        Work(
            name="training",
            words=f"run table_2 {_SMALL} --benchmark scenes:20 --train-steps 400 {_PLACES}",
        ),
        Work(
            name="search",
            words=f"search {_SMALL} --benchmark scenes:12 --data-size 40 --sampler grid {_PLACES} "
            "--space min_share=0.01,0.02,0.03 search_steps=2,3",
        ),
        Work(
            name="directions",
            words=f"run table_9 {_SMALL} --epsilon 1 2 3 4 {_PLACES}",
        ),
        Work(name="draw", words=f"{_DRAW} --out {{storage}}"),
        Work(name="actors", words=f"{_DRAW} --actors 2 --out {{storage}}"),
        Work(
            name="fid",
            words="fid analytic.ellipses32 --count 6000 --json {out}/fid.json --storage {storage}",
        ),
        Work(
            name="embed",
            words="embed scenes:20000 --encoder bigbigan.scenes32-large --out {out}/latents.npy",
            has_storage=False,
        ),
        Work(
            name="segment",
            words="segment {input}/images --out {out} --size 128",
            has_storage=False,
            input="scenes {input} --count 400",
        ),
    )
}


@dataclass(kw_only=True)
class Run:
    """A command that runs, as far as moments look at it.

    Attributes:
        storage: Folder of its artifacts here; on S3 that of the copies.
        out: Folder of its results.
        said: Gives what it has written to the console.
        seconds: Gives the time since it was started.
        whole: Seconds that it takes when it is left alone.
        names: Gives the names of its processes.
        begun: When it was started, as files have it.
    """

    storage: Path
    out: Path
    said: Callable[[], str]
    seconds: Callable[[], float]
    whole: float
    names: Callable[[], list[str]]
    begun: float


@dataclass(frozen=True)
class Moment:
    """When to kill: as soon as something is so."""

    name: str
    is_there: Callable[[Run], bool]


def at_share(share: float) -> Moment:
    """So much of the time of an undisturbed run after the start."""
    return Moment(f"at {share:.0%}", lambda run: run.seconds() >= share * run.whole)


def on_file(pattern: str, *, of_results: bool = False) -> Moment:
    """As soon as a file was written in the storage, or among the results."""

    def is_new(path: Path, begun: float) -> bool:
        with suppress(FileNotFoundError):
            return path.stat().st_mtime > begun
        return False

    def is_there(run: Run) -> bool:
        folder = run.out if of_results else run.storage
        return any(is_new(path, run.begun) for path in folder.glob(pattern))

    return Moment(f"on {pattern}", is_there)


def on_line(part: str) -> Moment:
    """As soon as a line was written that holds this."""
    return Moment(f"on {part!r}", lambda run: part in run.said())


def on_process(part: str) -> Moment:
    """As soon as a process was started whose name holds this."""
    return Moment(f"on {part}", lambda run: any(part in name for name in run.names()))


FIRST_SHARD: Final = on_file("samples/*/shard-*.parquet")
TRAINS: Final = on_file("segmenter/*/lease.json")
TRAINED: Final = on_file("segmenter/*/manifest.json")
RAY_STARTS: Final = on_process("gcs_server")
TRIALS_RUN: Final = on_process("ray::PointActor")
ROWS_WRITTEN: Final = on_file("*/rows.parquet", of_results=True)


def result(storage: Path, out: Path) -> Mapping[str, object]:
    """Give what a command left, without what differs from run to run, by file."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.suffix == ".parquet":
            found[name] = _table(path)
        elif path.is_file() and path.suffix != ".png":
            found[name] = path.read_bytes()
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(storage.glob("samples/*/shard-*.parquet")):
        found[path.relative_to(storage).as_posix()] = pq.read_table(path)
    return found


def _table(path: Path) -> str:
    table = pd.read_parquet(path)
    kept = [
        name
        for name in table
        if name not in _OF_THE_RUN and not str(name).endswith(_WHAT_IS_MADE_AGAIN)
    ]
    lines = table[kept].to_csv(index=False).splitlines()
    # Trials end in any order.
    return "\n".join([lines[0], *sorted(lines[1:])])


def difference(found: Mapping[str, object], truth: Mapping[str, object]) -> str:
    """Say what differs; nothing if all is the same.

    Actors may have drawn a shard beyond the last one that is needed.
    """
    missing = sorted(truth.keys() - found.keys())
    if missing:
        return f"{missing[0]} is missing ({len(missing)} in all)"
    other = [name for name, value in truth.items() if not _equal(found[name], value)]
    if other:
        return f"{other[0]} differs ({len(other)} in all)"
    more = [name for name in found.keys() - truth.keys() if "/shard-" not in name]
    return f"{sorted(more)[0]} is there besides" if more else ""


def _equal(one: object, other: object) -> bool:
    if hasattr(one, "equals"):
        return bool(one.equals(other))
    return one == other
