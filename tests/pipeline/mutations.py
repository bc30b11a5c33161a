"""Mutations of a storage: ``python tests/pipeline/mutations.py [NUMBER ...]``.

A small storage is made once. Each mutation changes a copy of it as disks, people and other programs
do: folders and files change places, numbers change, bytes flip, files are cut or go. Then the same
trials are run again, once as they are, and once after everything that is made from the changed
thing has been deleted, so that it has to be read. The rows must be those of the untouched storage:
what is damaged heals, and a line names the file. What cannot heal stands in `REFUSED` with the
reason, and ends in one line; other rows are wrong, and so is a trace.
"""

import argparse
import json
import logging
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from gseg.directions.config import AffineConfig, CandidateConfig, ChoiceConfig, SearchConfig
from gseg.pipeline.experiment import Context, DistanceConfig, Experiment, SelectionConfig
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.jobs.pictures import PicturesJob
from gseg.pipeline.trial import run_trial, trial_graph
from gseg.samples.config import EmbeddedScenes, LatentConfig, SampleConfig, filter_preset
from gseg.samples.labeller import labeller
from gseg.samples.shards import shard_name
from gseg.scenes.pictures import render
from gseg.segmenters.config import FitConfig
from gseg.storage import leases
from gseg.storage.manifests import told_doubts
from gseg.storage.store import Store, count_builds

_SEED: Final = 17
_EMBEDDED: Final = "bigbigan.scenes32-large"
_LABELLER: Final = '"""Bright is foreground."""\n\n\ndef bright(x):\n    return x.mean(1) > 0\n'
# What differs from run to run.
_OF_THE_RUN: Final = {"commit", "finished"}
_WHAT_IS_MADE_AGAIN: Final = ("_seconds", "_reused", "_mib")
# A stage and those that are made from it.
_AFTER: Final = {
    "candidates": "direction operators threshold samples selection relabelled segmenter scores",
    "direction": "operators threshold samples selection relabelled segmenter scores",
    "operators": "samples segmenter scores",
    "threshold": "samples segmenter scores",
    "embeddings": "samples statistics distance segmenter scores",
    "samples": "selection relabelled segmenter scores",
    "selection": "segmenter scores",
    "relabelled": "segmenter scores",
    "segmenter": "scores",
    "statistics": "distance",
    "distance": "",
    "scores": "",
}

Rows = list[dict[str, Any]]
Mutate = Callable[["Copy"], object]


def trials() -> list[Experiment]:
    """Make trials that leave every kind of artifact, two of each that differ in their settings."""
    plain = Experiment(
        generator="ggan.scenes32",
        search=SearchConfig(steps=2, batch=4),
        samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
        data_size=24,
        validation_size=8,
        training=FitConfig(steps=2, batch=4, decay_at=None, width=4, depth=2),
    )
    # Optimised directions take long, as colour maps are fitted to each.
    *chosen, other = [
        ChoiceConfig(
            candidates=CandidateConfig(kind="random", count=3, seed=seed),
            epsilon=1.0,
            affine=AffineConfig(steps=2),
            pictures=4,
        )
        for seed in (0, 1, 2)
    ]
    kinds = [
        replace(plain, mask_kind="affine", validation_size=0),
        replace(
            plain,
            samples=replace(plain.samples, mask_threshold="choose"),
            validation_size=0,
        ),
        replace(plain, data_size=10, selection=SelectionConfig(folder="real", candidates=24)),
        replace(plain, labeller=labeller("labeller.py:bright")),
    ]
    near = replace(plain, generator=_EMBEDDED, search=other, distance=DistanceConfig(count=20))
    scenes = [EmbeddedScenes(count=count, encoder=_EMBEDDED) for count in (8, 12)]
    return [
        *(
            replace(plain, search=replace(plain.search, contrast_weight=weight))
            for weight in (2.0, 5.0)
        ),
        *(replace(each, search=search) for each in kinds for search in chosen),
        *(
            replace(
                near, samples=replace(near.samples, latents=LatentConfig(scenes=each, alpha=0.2))
            )
            for each in scenes
        ),
    ]


@contextmanager
def inputs(folder: Path) -> Iterator[None]:
    """Write what trials need beside the storage, and work there."""
    (folder / "labeller.py").write_text(_LABELLER)
    (folder / "real").mkdir()
    for number, picture in enumerate(render(range(900_000, 900_003), resolution=32).pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"real/{number}.png")
    before, threads = Path.cwd(), torch.get_num_threads()
    os.chdir(folder)
    torch.set_num_threads(1)
    leases._EMPTY_SECONDS, patience = 0.2, leases._EMPTY_SECONDS
    try:
        yield
    finally:
        leases._EMPTY_SECONDS = patience
        os.chdir(before)
        torch.set_num_threads(threads)


def setting(storage: Path) -> Context:
    return Context(storage=storage, benchmarks=("scenes:6",))


def run(storage: Path) -> Rows:
    """Run all trials; what is there is found."""
    there = setting(storage)
    return [dict(row) for each in trials() for row in run_trial(each, there, LocalBackend())]


class Copy:
    """A copy of the storage that is changed.

    Args:
        folder: Where it is.
        seed: Of all that is chosen at random.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)

    def two(self, stage: str) -> list[Path]:
        """Choose two artifacts of a stage that have the same files."""
        found = [each for each in sorted((self.folder / stage).iterdir()) if self._is_whole(each)]
        names = {each: sorted(file.name for file in each.glob("*.*")) for each in found}
        self.rng.shuffle(found)
        first = found[0]
        return [first, next(each for each in found[1:] if names[each] == names[first])]

    def one(self, stage: str) -> Path:
        """Choose an artifact of a stage."""
        return self.two(stage)[0]

    @staticmethod
    def _is_whole(folder: Path) -> bool:
        # Sets that are trained on have two shards; all but those near embeddings one generator.
        if (folder / shard_name(0)).exists() and not (folder / shard_name(1)).exists():
            return False
        about = folder / "_about.json"
        if not about.exists():
            return True
        config = json.loads(about.read_text())["config"]
        return config["generator"] != _EMBEDDED and config["samples"]["mask_kind"] == "lighter"


def swap(first: Path, second: Path) -> None:
    """Let two files or folders change places."""
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def swap_files(stage: str, name: str) -> Mutate:
    return lambda copy: swap(*(each / name for each in copy.two(stage)))


def copy_file(stage: str, name: str) -> Mutate:
    return lambda copy: shutil.copyfile(*(each / name for each in copy.two(stage)))


def on_file(stage: str, name: str, change: Callable[[Path, random.Random], object]) -> Mutate:
    return lambda copy: change(copy.one(stage) / name, copy.rng)


def swap_shards(copy: Copy) -> None:
    folder = copy.one("samples")
    swap(folder / shard_name(0), folder / shard_name(1))


def cut(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) // 4, len(content))])


def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def as_list(path: Path, rng: random.Random) -> None:
    path.write_text("[]")


def delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def set_value(*keys: str, to: Callable[[Any], Any]) -> Callable[[Path, random.Random], object]:
    """Change a value in a JSON file."""

    def change(path: Path, rng: random.Random) -> None:
        content = inner = json.loads(path.read_text())
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to(inner[keys[-1]])
        path.write_text(json.dumps(content, indent=1))

    return change


def numbers_in_facts(path: Path, rng: random.Random) -> None:
    """Change every number of a manifest's facts."""

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: changed(item) for key, item in value.items()}
        return value / 2 + 0.25 if isinstance(value, float) else value

    set_value("facts", to=changed)(path, rng)


def splice(copy: Copy) -> None:
    """Give a shard the masks of another set's, under its own description."""
    here, there = (pq.read_table(each / shard_name(0)) for each in copy.two("samples"))
    place = here.schema.get_field_index("mask")
    mixed = here.set_column(place, here.schema.field(place), there["mask"])
    for each in (copy.folder / "samples").iterdir():
        file = each / shard_name(0)
        if file.exists() and pq.read_table(file).equals(here):
            pq.write_table(mixed.replace_schema_metadata(here.schema.metadata), file)


def shuffle_array(path: Path, rng: random.Random) -> None:
    np.save(path, np.load(path)[::-1].copy())


def another_version(path: Path, rng: random.Random) -> None:
    """Say that a shard has a newer format."""
    table = pq.read_table(path)
    told = json.loads(table.schema.metadata[b"gseg.samples"])
    text = json.dumps({**told, "version": 99}).encode()
    metadata = {**table.schema.metadata, b"gseg.samples": text}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def one_shard_more(copy: Copy) -> None:
    """Put another set's shard where a set would go on, and lose what comes before it."""
    first, second = copy.two("samples")
    shutil.copyfile(second / shard_name(1), first / shard_name(2))
    (first / shard_name(1)).unlink()
    (first / shard_name(2)).rename(first / shard_name(1))


def foreign_files(copy: Copy) -> None:
    for stage in ("segmenter", "samples", "direction", "statistics"):
        folder = copy.one(stage)
        (folder / "notes.txt").write_text("mine")
        shutil.copyfile(copy.one("scores") / "images.parquet", folder / "images.parquet")
        (folder / "shard-000077.parquet").write_text("no shard")


def smaller_batch(**values: int) -> Mutate:
    def add(copy: Copy) -> None:
        (copy.one("samples") / "smaller_batch.json").write_text(json.dumps(values))

    return add


def all_files(name: str, *stages: str) -> Mutate:
    """Empty all files of a name, as a power cut may; of all stages where none is named."""

    def change(copy: Copy) -> None:
        for stage in stages or _AFTER:
            for path in (copy.folder / stage).glob(f"*/{name}"):
                path.write_bytes(b"")

    return change


def empty_lease(copy: Copy) -> None:
    """Leave the lease of a process that a power cut ended before its artifact was finished."""
    folder = copy.one("segmenter")
    (folder / _MANIFEST).unlink()
    (folder / "lease.json").write_bytes(b"")


def both(*changes: Mutate) -> Mutate:
    """Do one after the other."""

    def change(copy: Copy) -> None:
        for each in changes:
            each(copy)

    return change


def manifest_elsewhere(copy: Copy) -> None:
    """Put a finished artifact's manifest into another's folder, which is unfinished."""
    done, unfinished = copy.two("segmenter")
    (unfinished / "segmenter.safetensors").unlink()
    shutil.copyfile(done / "manifest.json", unfinished / "manifest.json")


def swap_parts(copy: Copy) -> None:
    """Let two unfinished statistics of other latents change parts."""
    jobs = [_unfinished_statistics(copy.folder, each) for each in trials()[-2:]]
    swap(*(each.path(0) for each in jobs))


def _unfinished_statistics(storage: Path, trial: Experiment) -> PicturesJob:
    shop, found = Workshop(Store(storage), _Stopped()), []
    node = trial_graph(trial, setting(storage), "cpu").distance
    assert node is not None
    shutil.rmtree(shop.folder(node.generated))
    try:
        shop.make(node.generated)
    except _Stopped.Job as stopped:
        found = stopped.args
    return found[0]


class _Stopped(LocalBackend):
    """Stops after the parts of a job have been done."""

    class Job(Exception):  # noqa: N818
        """Carries it."""

    def run(self, job: Any, parts: Sequence[int], listen: Any) -> Any:
        super().run(job, parts, listen)
        raise self.Job(job)


def swap_checkpoints(copy: Copy) -> None:
    """Let two unfinished trainings on other samples change what they have kept."""
    swap(*(_unfinished_training(copy.folder, each) for each in trials()[:2]))


def _unfinished_training(storage: Path, trial: Experiment) -> Path:
    shop = Workshop(Store(storage), _StoppedTraining())
    (node,) = trial_graph(trial, setting(storage), "cpu").segmenters
    shutil.rmtree(shop.folder(node))
    with suppress(_Stopped.Job):
        shop.make(node)
    return shop.folder(node) / "checkpoint.safetensors"


class _StoppedTraining(LocalBackend):
    def train(self, job: Any, report: Any) -> Any:
        def stop(stage: str, done: int, total: int, detail: str = "") -> None:
            if done == 1 and job.checkpoint.exists():
                raise _Stopped.Job

        return replace(job, checkpoint_seconds=0.0).train(stop)


_HALVED: Final[Callable[[Any], Any]] = lambda value: value / 2  # noqa: E731
_COST: Final = "_shard-000000.cost"
_MANIFEST: Final = "manifest.json"

# Stage that is changed, what is done, how.
MUTATIONS: Final[Sequence[tuple[str, str, Mutate]]] = [
    *((stage, "nothing", lambda copy: None) for stage in ("candidates", "embeddings")),
    *(
        (stage, "two folders change places", lambda copy, stage=stage: swap(*copy.two(stage)))
        for stage in _AFTER
    ),
    *(
        (stage, "two manifests change places", swap_files(stage, _MANIFEST))
        for stage in ("direction", "segmenter", "scores", "distance", "selection")
    ),
    *(
        (stage, f"two {name} change places", swap_files(stage, name))
        for stage, name in (
            ("candidates", "candidates.safetensors"),
            ("direction", "direction.safetensors"),
            ("operators", "direction.safetensors"),
            ("embeddings", "embeddings.npy"),
            ("samples", shard_name(0)),
            ("selection", shard_name(0)),
            ("relabelled", shard_name(1)),
            ("segmenter", "segmenter.safetensors"),
            ("statistics", "statistics.npz"),
            ("scores", "images.parquet"),
            ("samples", "_about.json"),
            ("samples", _COST),
        )
    ),
    ("samples", "shards 0 and 1 change places", swap_shards),
    *(
        (stage, f"another's {name} over it", copy_file(stage, name))
        for stage, name in (
            ("direction", "direction.safetensors"),
            ("samples", shard_name(1)),
            ("segmenter", "segmenter.safetensors"),
            ("statistics", "statistics.npz"),
            ("samples", _COST),
        )
    ),
    ("samples", "masks of another shard under its own description", splice),
    *(
        (stage, "other numbers in the facts", on_file(stage, _MANIFEST, numbers_in_facts))
        for stage in ("direction", "segmenter", "scores", "distance", "relabelled")
    ),
    *(
        (stage, f"other {key}", on_file(stage, _MANIFEST, set_value(key, to=to)))
        for stage, key, to in (
            ("segmenter", "seconds", _HALVED),
            ("scores", "parents", lambda value: value[::-1] + value),
            ("direction", "version", lambda value: value + 1),
            ("segmenter", "version", lambda value: value - 1),
            ("statistics", "stage", lambda value: "scores"),
        )
    ),
    (
        "segmenter",
        "other config",
        on_file("segmenter", _MANIFEST, set_value("config", "training", "steps", to=lambda _: 3)),
    ),
    (
        "direction",
        "other checksum",
        on_file(
            "direction",
            _MANIFEST,
            set_value("files", "direction.safetensors", "sha256", to=lambda value: value[::-1]),
        ),
    ),
    (
        "samples",
        "other config in about.json",
        on_file("samples", "_about.json", set_value("config", "samples", "seed", to=lambda _: 9)),
    ),
    *(
        (stage, f"{name}: {change.__name__}", on_file(stage, name, change))
        for stage, name, changes in (
            ("samples", shard_name(0), (flip, flip, cut, empty, delete, another_version)),
            ("samples", "_about.json", (flip, delete)),
            ("samples", _COST, (flip, cut, empty, delete)),
            ("segmenter", "segmenter.safetensors", (flip, cut, delete)),
            ("segmenter", _MANIFEST, (flip, flip, cut, empty, delete)),
            ("scores", _MANIFEST, (flip, flip, cut, empty, delete)),
            ("direction", "direction.safetensors", (flip, cut, delete)),
            ("direction", _MANIFEST, (flip, empty)),
            ("statistics", "statistics.npz", (flip, cut, empty)),
            ("embeddings", "embeddings.npy", (flip, shuffle_array)),
            ("operators", "direction.safetensors", (flip, delete)),
            ("relabelled", shard_name(0), (flip, cut, delete)),
            ("scores", "images.parquet", (flip, empty, delete)),
            *(
                (stage, _MANIFEST, (empty,))
                for stage in _AFTER
                if stage not in ("samples", "segmenter", "scores", "direction")
            ),
            ("samples", "_about.json", (empty, cut, as_list)),
            ("candidates", "candidates.safetensors", (flip,)),
            ("selection", shard_name(0), (flip,)),
        )
        for change in changes
    ),
    *(
        (stage, "all its manifests are empty", all_files(_MANIFEST, stage))
        for stage in _AFTER
        if stage != "samples"
    ),
    ("samples", "all that sets say of themselves is empty", all_files("_about.json", "samples")),
    ("samples", "all shards are empty", all_files("shard-*.parquet", "samples")),
    (
        "candidates",
        "all manifests of the storage are empty",
        both(all_files(_MANIFEST), all_files("_about.json")),
    ),
    ("segmenter", "an empty lease of an unfinished one", empty_lease),
    *(
        (
            first,
            f"{name}: flip, and in {second} {other}: {change.__name__}",
            both(on_file(first, name, flip), on_file(second, other, change)),
        )
        for first, name, second, other, change in (
            ("direction", "direction.safetensors", "segmenter", _MANIFEST, empty),
            ("samples", shard_name(0), "segmenter", "segmenter.safetensors", cut),
            ("samples", shard_name(1), "samples", "_about.json", empty),
            ("embeddings", "embeddings.npy", "statistics", "statistics.npz", delete),
            ("statistics", "statistics.npz", "distance", _MANIFEST, cut),
            ("candidates", "candidates.safetensors", "direction", "direction.safetensors", flip),
            ("selection", shard_name(0), "samples", shard_name(0), flip),
            ("operators", "direction.safetensors", "scores", "images.parquet", delete),
        )
    ),
    *(
        ("samples", f"other {key} in a cost", on_file("samples", _COST, set_value(key, to=_HALVED)))
        for key in ("forwards", "seconds")
    ),
    (
        "samples",
        "a cost is a list",
        on_file("samples", _COST, lambda path, _: path.write_text("[]")),
    ),
    ("samples", "another set's shard comes next", one_shard_more),
    ("samples", "foreign files", foreign_files),
    ("samples", "a smaller batch is asked for", smaller_batch(batch=8, blocks_per_shard=2)),
    ("samples", "an impossible batch is asked for", smaller_batch(batch=5, blocks_per_shard=1)),
    ("segmenter", "another's manifest in an unfinished folder", manifest_elsewhere),
    ("statistics", "parts of two unfinished sets change places", swap_parts),
    ("segmenter", "checkpoints of two trainings change places", swap_checkpoints),
]


# Stage and mutation of those that end in a line, and why they cannot heal.
REFUSED: Final[Mapping[tuple[str, str], str]] = {}


@dataclass(frozen=True)
class Outcome:
    """What happened after a mutation.

    Attributes:
        verdict: ``same``, ``healed``, ``refused``, or ``WRONG``.
        told: In a few words.
    """

    verdict: str
    told: str


def compared(rows: Rows, *, all_found: bool) -> Rows:
    """Leave out what may differ: less, where nothing was made again."""
    ends = () if all_found else _WHAT_IS_MADE_AGAIN
    return [
        {
            key: value
            for key, value in row.items()
            if key not in _OF_THE_RUN and not key.endswith((*ends, "_version"))
        }
        for row in rows
    ]


def judge(storage: Path, expected: Rows, *, refused: bool = False) -> Outcome:
    """Run all trials on a changed storage.

    Args:
        storage: The copy.
        expected: Rows of the untouched one.
        refused: Whether one line instead of rows is right.
    """
    logged = _Logged()
    logging.getLogger("gseg").addHandler(logged)
    before = count_builds(storage)
    told_doubts()  # of another copy
    try:
        rows = run(storage)
        logged.lines += told_doubts()
    except ValueError as error:
        return _said(str(error), storage, refused)
    except Exception as error:
        return Outcome("WRONG", f"a trace: {type(error).__name__}: {error}")
    finally:
        logging.getLogger("gseg").removeHandler(logged)
    made = sum((count_builds(storage) - before).values())
    other = _different(*(compared(each, all_found=not made) for each in (rows, expected)))
    told = f"{made} made again, " if made else ""
    told += f"said: {logged.lines[0][:120]}, " if logged.lines else ""
    # A number that is not known any more may be missing, if that is said.
    missing = {name for name, value in other if value is None} if logged.lines else set()
    wrong = {name for name, _ in other} - missing
    nameless = [line for line in logged.lines if str(storage) not in line]
    if wrong or nameless:
        what = f"OTHER {', '.join(sorted(wrong))}" if wrong else f"names no file: {nameless[0]}"
        return Outcome("WRONG", f"{told}{what}")
    verdict = "healed" if logged.lines else "same"
    return Outcome(verdict, f"{told}blank: {', '.join(sorted(missing))}" if missing else told)


def _different(rows: Rows, expected: Rows) -> set[tuple[str, Any]]:
    assert len(rows) == len(expected)
    return {
        (name, one[name])
        for one, other in zip(rows, expected, strict=True)
        for name in other
        if one[name] != other[name]
    }


def _said(line: str, storage: Path, refused: bool) -> Outcome:
    right = refused and str(storage) in line and "\n" not in line
    return Outcome("refused" if right else "WRONG", f"error: {line.replace(str(storage), '')}")


class _Logged(logging.Handler):
    """Notes warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def forget_after(storage: Path, stage: str) -> None:
    """Delete all that is made from a stage's artifacts."""
    for each in _AFTER[stage].split():
        shutil.rmtree(storage / each, ignore_errors=True)


@dataclass(frozen=True)
class Original:
    """The untouched storage and the rows that it gives."""

    storage: Path
    rows: Rows

    @classmethod
    def make(cls, folder: Path) -> "Original":
        """Make it, below a folder."""
        run(folder / "original")
        return cls(folder / "original", run(folder / "original"))

    def mutated(self, number: int) -> list[Outcome]:
        """Do a mutation on a copy: with all that was made from it, and without."""
        stage, what, mutate = MUTATIONS[number]
        outcomes = []
        for forget in (False, True):
            storage = self.storage.with_name(f"copy-{number}-{forget:d}")
            shutil.copytree(self.storage, storage)
            mutate(Copy(storage, _SEED + number))
            if forget:
                forget_after(storage, stage)
            outcomes.append(judge(storage, self.rows, refused=(stage, what) in REFUSED))
            shutil.rmtree(storage)
        return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", type=int, help="which; without any all")
    chosen = parser.parse_args().numbers or range(len(MUTATIONS))
    verdicts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, inputs(Path(folder)):
        os.environ["GSEG_CACHE"] = f"{folder}/cache"
        original = Original.make(Path(folder))
        for number in chosen:
            stage, what, _ = MUTATIONS[number]
            for outcome in original.mutated(number):
                verdicts[outcome.verdict] += 1
                told = outcome.told.replace(folder, "")
                print(f"{number:3} {outcome.verdict:7} {stage:10} {what}: {told}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))
    return int(verdicts["WRONG"] > 0)


if __name__ == "__main__":
    sys.exit(main())
