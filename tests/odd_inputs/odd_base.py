"""Every kind of file that a command reads: a sound one from scratch, the command, its result."""

import contextlib
import functools
import io
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from damages import REFUSED, SAFE
from PIL import Image

import gseg.commands.points
from gseg.cli import main
from gseg.commands.app import run as run_app
from gseg.commands.run import recipe_app
from gseg.directions.config import SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.images import from_uint8
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.failures import note_failure
from gseg.pipeline.progress import silent
from gseg.recipes.recipe import Recipe
from gseg.samples.config import SampleConfig, filter_preset
from gseg.scenes.pictures import render
from gseg.search.records import Record
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter
from gseg.segmenters.unet import UNet, initialise

CANARY: Final = "gseg_odd_canary"
GENERATOR: Final = "analytic.ellipses16"
_COUNT: Final = 4
_OUT: Final = "result"

Change = Callable[[Path], Path | None]


@dataclass(frozen=True, kw_only=True)
class Like:
    """The result is that of the input changed otherwise, or the input is refused."""

    change: Change


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """The input is refused, or its result is not that of a wrong reading."""

    change: Change
    what: str


Special = tuple[Change, str | float | Like | Unlike]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file.

    Attributes:
        name: In the table.
        make: Fills a new folder with a sound input; gives the file that is damaged.
        run: Runs the command, given the folder and the file as it is called now.
        result: Reads what came out, from the folder.
        hard: What is expected of a file that is not what it was at all.
        soft: Of a file in which something has changed.
        expected: Of single damages.
        free: Whether the file may have any name; else the folder above all gets the odd name.
        slow: Whether a case takes seconds.
        pairs: Folders beside the file's own in which a file has the same name.
        specials: Odd inputs of this kind only.
    """

    name: str
    make: Callable[[Path], Path]
    run: Callable[[Path, Path], int]
    result: Callable[[Path], object]
    hard: str = REFUSED
    soft: str = SAFE
    expected: Mapping[str, str] = field(default_factory=dict)
    free: bool = True
    slow: bool = False
    pairs: tuple[str, ...] = ()
    specials: Mapping[str, Special] = field(default_factory=dict)

    def rename(self, path: Path, renamed: Callable[[str], str]) -> Path:
        if not self.free:
            home = next(each for each in path.parents if each.name == "in")
            return home.rename(home.with_name(renamed("home")))
        new = renamed(path.stem)
        for folder in self.pairs:
            for other in (path.parent.parent / folder).glob(f"{path.stem}.*"):
                other.rename(other.with_name(new + other.suffix))
        return path.rename(path.with_name(new + path.suffix))


class Canary:
    """An object whose unpickling leaves a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        code = f"open({str(Path(tempfile.gettempdir(), CANARY))!r}, 'w').close()"
        return (exec, (code,))


@functools.cache
def shelf() -> Path:
    """A folder for what is made once; it goes with the process."""
    import atexit

    folder = tempfile.mkdtemp(prefix="odd-shelf-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def quietly(run: Callable[[], int]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        assert run() == 0


# ---------------------------------------------------------------- scenes, folders, sweeps


@functools.cache
def scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    """(32, 32, 3) uint8 pictures with (32, 32) bool masks."""
    found = render(range(3_000_000, 3_000_000 + _COUNT))
    return [
        (p.permute(1, 2, 0).numpy(), m.numpy())
        for p, m in zip(found.pictures, found.masks, strict=True)
    ]


def write_set(folder: Path) -> Path:
    """A folder benchmark."""
    for number, (picture, mask) in enumerate(scenes()):
        for part, pixels in (("images", picture), ("masks", mask.astype(np.uint8) * 255)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / part / f"p{number}00.png")
    return folder


def picture_of(home: Path) -> Path:
    return write_set(home / "birds") / "images" / "p100.png"


def mask_of(home: Path) -> Path:
    return write_set(home / "birds") / "masks" / "p100.png"


def _points_here(work: Any, source: Any, setting: Any, resources: Any, **told: Any) -> None:
    """Try points in this process, as actors of Ray do."""
    while (point := source.next()) is not None:
        told["listener"].started(point)
        common = {
            "number": point.number,
            "parameters": point.parameters,
            "experiments": tuple(each.digest for each in work.trials_of(point)),
            "labels_used": work.uses_labels,
        }
        rows: list[Any] = []
        try:
            outcome = work.evaluate(point, setting, RayBackend(resources), silent)
            record, rows = Record(**common, state="complete", values=outcome.values), outcome.rows
        except Exception as error:  # the actor's own rule
            failed = note_failure(work.trials_of(point)[0], setting, error)
            if not failed.own_fault:
                raise
            record = Record(**common, state="failed", reason=failed.reason, own_fault=True)
        source.finish(record)
        told["keep"](record, rows)
        told["listener"].ended(record, rows)


gseg.commands.points.run_points = _points_here
gseg.commands.points.trials_at_once = lambda *_, **__: 1
gseg.commands.points.ray_session = lambda *_, **__: contextlib.nullcontext()


def _tiny(grid: Any, _: object) -> list[Experiment]:
    labelled = grid.labelled and replace(grid.labelled, side=16)
    small = Experiment(
        generator=GENERATOR,
        search=SearchConfig(steps=2, batch=4),
        samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
        data_size=12,
        validation_size=4,
        training=FitConfig(steps=2, batch=4, decay_at=None, width=4, depth=2),
        recipe="odd",
        selection=grid.selection,
        labelled=labelled,
        labeller=grid.labeller,
    )
    return [small]


def sweep(home: Path, *words: object) -> int:
    """Run a sweep of one trial, of a third of a second, on a storage where it is finished."""
    storage = home / "storage"
    if not storage.exists():
        shutil.copytree(finished(), storage)
    places = ("--storage", storage, "--results", home / _OUT, "--plain")
    facts = {"shows": "", "takes": "", "about": "", "generators": ("embedded",)}
    # The only recipe that takes other masks.
    name = "voynov_table_5" if "--labeller" in words else "odd"
    app = recipe_app(Recipe(name=name, make=_tiny, rules=(), **facts))
    return run_app(app, [str(word) for word in (*words, *places)])


@functools.cache
def finished() -> Path:
    folder = shelf() / "storage"
    folder.mkdir()
    quietly(lambda: sweep(shelf(), "--benchmark", "scenes:4"))
    return folder


_SCORES: Final = ("iou", "accuracy", "max_f_beta")


def rows_of(home: Path) -> list[float]:
    """Scores of the segmenter and of predictors without a network."""
    (file,) = (home / _OUT).glob("*/rows.parquet")
    rows = pd.read_parquet(file).sort_values(["method", "metric_profile"])
    numbers = rows[list(_SCORES)].apply(pd.to_numeric, errors="coerce").fillna(-1)
    return numbers.to_numpy(float).T.reshape(-1).tolist()


def gseg_run(*words: object) -> int:
    return main([str(word) for word in words])


def distance_of(home: Path) -> float:
    return float(json.loads((home / _OUT).read_text())["value"])


@functools.cache
def statistics_file() -> Path:
    file = shelf() / "scenes.npz"
    words = ("fid", "scenes", "--count", 12, "--save", file, "--storage", shelf() / "features")
    quietly(lambda: gseg_run(*words))
    return file


def fid(home: Path, what: object, *words: object, reference: object = None) -> int:
    reference = statistics_file() if reference is None else reference
    places = ("--json", home / _OUT, "--storage", home / "features")
    return gseg_run("fid", what, "--reference", reference, *places, *words)


def small_segmenter() -> Segmenter:
    """A segmenter of a millisecond that finds half of every picture, and depends on every pixel."""
    network = UNet(width=4, depth=2).eval()
    initialise(network, 3)
    pictures = torch.stack([torch.from_numpy(each).permute(2, 0, 1) for each, _ in scenes()])
    with torch.no_grad():
        logits = network(from_uint8(pictures))
        network.outc["conv"].bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    return Segmenter(network, {"resolution": 32})


@functools.cache
def segmenter_file() -> Path:
    small_segmenter().save(shelf() / "small.safetensors")
    return shelf() / "small.safetensors"


def tables_of(folder: Path) -> dict[str, object]:
    return {
        str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.csv"))
    }


def pixels_of(folder: Path) -> list[object]:
    """Describe all pictures below a folder, whatever their names."""
    found = []
    for file in folder.rglob("*.png"):
        pixels = np.asarray(Image.open(file))
        found.append((*pixels.shape, int(pixels.sum()), zlib.crc32(pixels.tobytes())))
    return sorted(found)


def said_in(home: Path) -> str:
    """Give what the command printed, but for the folder's name."""
    text = (home.parent / "log" / "stdout").read_bytes()
    # As it is, and as what a terminal cannot show is written.
    for form in (os.fsencode(home), str(home).encode(errors="backslashreplace")):
        text = text.replace(form, b"")
    return text.decode(errors="replace")


def specials_of(**named: Special) -> dict[str, Special]:
    return {name.replace("_", " "): special for name, special in named.items()}


def text_special(text: str | bytes, expected: Any) -> Special:
    content = text.encode() if isinstance(text, str) else text
    return (lambda path: path.write_bytes(content) and None), expected
