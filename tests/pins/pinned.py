"""The names that storages of today are found by, computed anew: digests of trials and of stages.

What is computed here is compared with ``tests/data/pins`` by the tests, and written there by
``python tests/pins/write.py``; nothing else is.

Stage names are those of the nodes of a trial's graph; nothing is computed for them.

All inputs (embeddings, labeller, labelled pictures, files in place of published weights) are made
from numbers, in a folder that has to be the working directory (`inputs`): experiments hold their
paths as they are written, relative ones here.
"""

import contextlib
import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from gseg.directions.config import CANDIDATE_KINDS, SearchConfig
from gseg.generators.catalogue import list_generators
from gseg.generators.encoders import choose_encoder
from gseg.pipeline.direction_trial import DirectionTrial
from gseg.pipeline.experiment import (
    MASK_KINDS,
    Context,
    DistanceConfig,
    Experiment,
    LabelledPairs,
    SelectionConfig,
)
from gseg.pipeline.graph import Node, Workshop
from gseg.pipeline.jobs.pictures import PictureSet
from gseg.pipeline.stages.pictures import EmbeddingsNode
from gseg.pipeline.trial import trial_graph
from gseg.recipes.grids import Grid, grids
from gseg.recipes.recipe import recipes
from gseg.recipes.trials import baselines, point_trials
from gseg.samples.labeller import labeller
from gseg.samples.latents import near_embeddings
from gseg.scenes.pictures import render
from gseg.storage.digests import canonical
from gseg.storage.store import Store

DATA = Path(__file__).parents[1] / "data" / "pins"
DEVICES = ("cpu", "cuda")
MAIN = "biggan.scenes32-large"
PICTURES = 12
_WIDTH = 64
_ROWS = 50
_FIRST_PICTURE = 500_000
_WAYS = ("optimised", "voynov2021", "affine_ratio")
_LABELLER = '"""Pinned."""\n\n\ndef bright(x):\n    return x.mean(1) > 0\n'

Trial = Experiment | DirectionTrial


@contextlib.contextmanager
def inputs(folder: Path) -> Iterator[None]:
    """Write all inputs into a folder, and work there; published weights are made up."""
    _write_inputs(folder)
    weights = {"GSEG_WEIGHTS": str(folder / "weights")}
    with contextlib.chdir(folder), patch.dict(os.environ, weights):
        yield


def _write_inputs(folder: Path) -> None:
    """Write embeddings, labeller and labelled pictures; BMP has no compression to change sizes."""
    (folder / "weights").mkdir()
    for card in list_generators("published"):
        (folder / "weights" / f"{card.name}.pth").write_text(card.name)
    table = (np.arange(_ROWS * _WIDTH) * 7919 % 2003 / 1001.5 - 1).astype(np.float32)
    np.save(folder / "embeddings.npy", table.reshape(_ROWS, _WIDTH), allow_pickle=False)
    (folder / "labeller.py").write_text(_LABELLER)
    _write_pictures(folder / "pictures", _FIRST_PICTURE)
    _write_pictures(folder / "scored", _FIRST_PICTURE + PICTURES)


def _write_pictures(folder: Path, first: int) -> None:
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    scenes = render(range(first, first + PICTURES), resolution=32)
    for number, (picture, mask) in enumerate(zip(scenes.pictures, scenes.masks, strict=True)):
        name = f"{number:03d}.bmp"
        grey = mask.numpy().astype(np.uint8) * 255
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / "images" / name)
        Image.fromarray(grey).save(folder / "masks" / name)


def labelled_pictures(count: int = 8) -> LabelledPairs:
    return LabelledPairs(benchmark="folder:pictures", count=count, side=32)


def nearest_pictures(candidates: int) -> SelectionConfig:
    return SelectionConfig(folder="pictures/images", candidates=candidates)


def make(name: str, grid: Grid, axes: Mapping[str, Sequence[object]]) -> Sequence[Trial]:
    """Make the trials of a recipe."""
    return recipes()[name].trials(grid, axes)


def recipe_trials(name: str) -> dict[str, Sequence[Trial]]:
    """Make the trials of every recipe in the grid of this name."""
    grid, published = grids()[name], name == "paper"
    embedded = tuple(card.name for card in list_generators("embedded"))
    others = tuple(card.name for card in list_generators("published")) if published else ()
    every = {"generator": (*embedded, *others), "seed": (0, 1)}
    own = {"generator": ("stylegan2.afhqwild512",)} if published else {}
    varied = {
        "generator": embedded[:2],
        "contrast_weight": (0.5, 4.0),
        "epsilon": (0.75, 3.0),
        "data_size": (60, 90),
        "mask_kind": MASK_KINDS,
        "seed": (0, 3),
    }
    labelled = replace(grid, labelled=labelled_pictures(), selection=nearest_pictures(200))
    weighted = replace(
        grid, labelled=replace(labelled_pictures(), weight=0.25), selection=nearest_pictures(50)
    )
    found: dict[str, Sequence[Trial]] = {
        "all_gans": make("all_gans", grid, every),
        "all_gans, every axis": make("all_gans", grid, varied),
        "both_papers": make("both_papers", grid, every),
        "table_11": make("table_11", grid, own),
        "table_15": make("table_15", grid, own),
        "table_13": make("table_13", labelled, {}),
        "table_13, weighted": [
            # At the side of the embedded generators in every grid, as it was pinned.
            replace(each, labelled=replace(each.labelled, side=labelled_pictures().side))
            if each.labelled
            else each
            for each in make("table_13", weighted, {"seed": (2,)})
        ],
        "baselines": baselines("any"),
    }
    for each in (1, 2, 6, 7, 8, 9, 10, 12, 14):
        found[f"table_{each}"] = make(f"table_{each}", grid, {"seed": (0, 1)})
    for each in ("failure_cases", "initialisations", "strips"):
        found[each] = make(each, grid, {})
    # The same with embedded generators, whose stages have names in this grid, too.
    here = {"generator": ("bigbigan.scenes32-large",)} if published else {}
    adapted = with_embeddings(grid)
    other = replace(adapted, labeller=labeller("labeller.py:bright"))
    for axes, suffix in (({}, ""), (here, ", embedded generator"))[: 1 + published]:
        for each in ("table_1", "table_1_flowers", "table_2", "table_3", "table_4"):
            recipe = f"voynov_{each}"
            found[recipe + suffix] = make(recipe, adapted, axes)
        found["voynov_figure_5" + suffix] = make("voynov_figure_5", adapted, axes)
        found["voynov_table_5" + suffix] = make("voynov_table_5", other, axes)
    if not published:  # scenes stand for a data set, a network of the graph for another model
        for each in ("table_1", "table_4", "table_5"):
            recipe = f"voynov_{each}"
            found[f"{recipe}, scenes"] = make(recipe, grid, {})
    return found


def with_embeddings(grid: Grid) -> Grid:
    latents = near_embeddings("embeddings.npy")
    return replace(grid, samples=replace(grid.samples, latents=latents))


def turned_grids() -> dict[str, Grid]:
    """Give the smoke grid with each option of a sweep's command line."""
    grid = grids()["smoke"]

    def sampled(**changes: object) -> Grid:
        return replace(grid, samples=replace(grid.samples, **changes))  # type: ignore[arg-type]

    def latents(**changes: object) -> Grid:
        return sampled(latents=replace(grid.samples.latents, **changes))

    found = {
        f"{way} {kind}": replace(grid, direction=way).with_candidates(kind)
        for way, kind in product(_WAYS, CANDIDATE_KINDS)
    }
    return found | {
        "replicas": replace(grid, training=replace(grid.training, replicas=2)),
        "no prior": replace(grid, search=replace(grid.search, centre_prior=False)),
        "sample epsilon": replace(grid, sample_epsilon=2.5),
        "batch": sampled(batch=16, blocks_per_shard=32),
        "jpeg": sampled(picture_format="jpeg95"),
        "rgb norm": sampled(mask_rule="rgb_norm"),
        "truncation": latents(truncation=0.8),
        "classes": latents(classes=(1, 4), class_weights=(1.0, 3.0)),
        "alpha": replace(
            grid,
            samples=replace(grid.samples, latents=near_embeddings("embeddings.npy", alpha=0.2)),
        ),
        "nearest": replace(grid, selection=nearest_pictures(400)),
        "labelled": replace(grid, labelled=labelled_pictures()),
        "labelled weight": replace(grid, labelled=replace(labelled_pictures(), weight=0.5)),
        "folder distance": replace(
            grid, distance=DistanceConfig(count=20, reference="folder:pictures/images", seed=3)
        ),
    }


def turned_trials() -> dict[str, Sequence[Trial]]:
    """Make trials of grids that differ from the smoke grid in one option each."""
    axes = {"generator": (MAIN,), "mask_kind": ("lighter", "both")}
    found: dict[str, Sequence[Trial]] = {
        name: make("all_gans", grid, axes) for name, grid in turned_grids().items()
    }
    grid = grids()["smoke"]
    found["kinds"] = make(
        "all_gans", grid, {"generator": ("sngan.scenes32",), "mask_kind": MASK_KINDS}
    )
    chosen = make("all_gans", replace(grid, direction="voynov2021"), axes)[0]
    found["labeller"] = [replace(chosen, labeller=labeller("labeller.py:bright"))]
    found["shrunk"] = [replace(chosen, train_resolution=16)]
    found["nothing held out"] = [replace(chosen, validation_size=0)]
    found["searches"] = [
        DirectionTrial(generator=MAIN, search=SearchConfig(objective=name))
        for name in ("gseg", "melas2022_text", "melas2022_program")
    ]
    return found


_VALUES: Mapping[str, Sequence[str | int | float]] = {
    "generator": ("sngan.scenes32", "bigbigan.scenes32-large"),
    "direction": _WAYS,
    "candidates": CANDIDATE_KINDS,
    "contrast_weight": (7,),
    "epsilon": (0.5,),
    "epsilon_sample": (3,),
    "search_steps": (17,),
    "search_learning_rate": (0.02,),
    "mask_kind": MASK_KINDS,
    "data_size": (70,),
    "truncation": (0.9,),
    "alpha": (0.3,),
    "filters": ("none", "voynov2021_text"),
    "min_share": (0.1,),
    "max_share": (0.6,),
    "component_share": (0.3,),
    "min_contrast": (0.05,),
    "min_roundness": (0.4,),
    "train_learning_rate": (0.01,),
    "train_steps": (45,),
    "train_batch": (16,),
    "train_width": (8,),
}
_COMBINED: Sequence[Mapping[str, str | int | float]] = (
    {"train_steps": 61, "train_batch": 8, "train_learning_rate": 0.004},
    {"direction": "voynov2021", "contrast_weight": 9.0, "candidates": "pca"},
    {"direction": "optimised", "contrast_weight": 9.0, "candidates": "pca"},
    {"epsilon": 2.0, "epsilon_sample": 4.0, "mask_kind": "ensemble"},
    {"filters": "none", "max_share": 0.7, "min_share": 0.02},
)


def search_trials() -> dict[str, Sequence[Trial]]:
    """Make the trials of one point of a search for each value of each setting, and a few more."""
    grid = grids()["smoke"]
    fixed = {"generator": MAIN, "data_size": 80}
    bases = {way: (replace(grid, direction=way), fixed) for way in _WAYS}
    bases["given"] = (grid, {**fixed, "contrast_weight": 2.0, "epsilon": 1.5})
    points: list[Mapping[str, str | int | float]] = [
        {name: value} for name in _VALUES if name != "alpha" for value in _VALUES[name]
    ]
    found: dict[str, Sequence[Trial]] = {}
    for name, (base, given) in bases.items():
        for point in ({}, *points, *_COMBINED):
            told = ", ".join(f"{key}={value}" for key, value in point.items())
            made = point_trials(base, {**given, **point}, (0, 1), "search")
            found[f"{name}: {told}"] = made
    for alpha in (0.0, *_VALUES["alpha"]):
        point = {**fixed, "alpha": alpha, "direction": "affine_ratio"}
        made = point_trials(with_embeddings(grid), point, (0, 1), "search")
        found[f"embeddings: alpha={alpha}"] = made
    return found


def all_trials() -> dict[str, dict[str, Sequence[Trial]]]:
    """Make all trials whose names are pinned, by where they are from."""
    named = {name: recipe_trials(name) for name in ("embedded", "smoke", "paper")}
    return {**named, "turned": turned_trials(), "search": search_trials()}


def told(trial: Trial) -> str:
    """Say for people which trial this is; not compared."""
    if isinstance(trial, DirectionTrial):
        search = trial.search
        return f"{trial.generator} λ={search.contrast_weight} ε={search.epsilon} seed={search.seed}"
    seed = trial.training.seed if trial.training else 0
    name = trial.generator or trial.method
    return f"{name} {trial.mask_kind} N={trial.data_size} seed={seed}"


def digests(trials: Mapping[str, Sequence[Trial]]) -> dict[str, list[list[str]]]:
    """Give digest and description of each trial, in their order."""
    return {name: [[each.digest, told(each)] for each in some] for name, some in trials.items()}


@dataclass
class Recorder:
    """The names that a trial asks the store for.

    Attributes:
        names: ``stage digest``.
        examples: By stage and names of its settings: version, config and parents of the first.
    """

    names: set[str] = field(default_factory=set)
    examples: dict[str, dict[str, object]] = field(default_factory=dict)

    def note(self, node: Node, shop: Workshop) -> None:
        """Take a node in."""
        name, plain = shop.name(node), canonical(node.settings(shop))
        self.names.add(f"{node.stage} {name}")
        kind = " ".join([node.stage, *sorted(plain)])
        version = None if node.stage == "samples" else node.version
        about = {"version": version, "config": plain, "parents": shop.names(node), "name": name}
        self.examples.setdefault(kind, about)


def _note_all(targets: Iterable[Node | None], recorder: Recorder) -> list[str]:
    """Name nodes and all that they are made from."""
    recorder.names, shop = set(), Workshop(Store(Path("storage").absolute(), read_only=True))
    for node in shop.walk(*targets):
        recorder.note(node, shop)
    return sorted(recorder.names)


def trial_stages(trial: Trial, device: str, recorder: Recorder) -> list[str]:
    """Name all stages of a trial, scores on two benchmarks among them."""
    setting = Context(storage=Path("storage").absolute(), benchmarks=("scenes", "folder:scored"))
    return _note_all(trial_graph(trial, setting, device).targets, recorder)


def embeddings_stages(device: str, recorder: Recorder) -> list[str]:
    """Name the embeddings of scenes and of a folder."""
    encoder = choose_encoder("bigbigan.scenes32-large", sampled=True)
    sources = (
        PictureSet(count=40, resolution=32),
        PictureSet(folder=Path("pictures/images"), resolution=32),
    )
    nodes = [
        EmbeddingsNode(pictures=pictures, encoder=choice, device=device)
        for pictures, choice in product(sources, (encoder, replace(encoder, sampled=False)))
    ]
    return _note_all(nodes, recorder)


def stage_names(
    trials: Mapping[str, Mapping[str, Sequence[Trial]]], recorder: Recorder
) -> dict[str, list[str]]:
    """Name all stages of all trials, each trial once.

    Returns:
        Names by device and digest of the trial. On a GPU, of every seventh trial and of all that
        differ in one option.
    """
    found: dict[str, list[str]] = {}
    for device in DEVICES:
        found[f"{device} embeddings"] = embeddings_stages(device, recorder)
        for source, named in trials.items():
            every = [each for some in named.values() for each in some]
            some = every if device == "cpu" or source == "turned" else every[::7]
            for each in some:
                if f"{device} {each.digest}" not in found:
                    found[f"{device} {each.digest}"] = trial_stages(each, device, recorder)
    return found


def read(name: str) -> dict[str, object]:
    """Read pinned data."""
    path = DATA / f"{name}.json.gz"
    text = gzip.decompress(path.read_bytes()) if path.is_file() else None
    return json.loads(text or (DATA / f"{name}.json").read_text())


def write(name: str, content: Mapping[str, object]) -> Path:
    """Write pinned data: compact and sorted, compressed from 200 kB on."""
    text = (
        json.dumps(content, sort_keys=True, ensure_ascii=False, indent=0, separators=(",", ":"))
        + "\n"
    )
    path, data = DATA / f"{name}.json", text.encode()
    if len(data) > 200_000:
        path, data = DATA / f"{name}.json.gz", gzip.compress(data, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
