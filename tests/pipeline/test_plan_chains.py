"""A plan names what a run then leaves in the storage, whatever the chain of stages is."""

import hashlib
import shutil
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from gseg.commands.scenes import write_scenes
from gseg.directions.config import AffineConfig, CandidateConfig, ChoiceConfig, SearchConfig
from gseg.generators.catalogue import find_card
from gseg.pipeline import costs
from gseg.pipeline.costs import sample_bytes
from gseg.pipeline.experiment import (
    Context,
    DistanceConfig,
    Experiment,
    LabelledPairs,
    SelectionConfig,
    TrainedLabeller,
)
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.draw import BatchTooLargeError, DrawJob
from gseg.pipeline.jobs.job import LocalBackend
from gseg.pipeline.plan import make_plan
from gseg.pipeline.trial import run_trial, trial_graph
from gseg.samples.config import EmbeddedScenes, LatentConfig, SampleConfig, filter_preset
from gseg.samples.labeller import labeller
from gseg.samples.latents import near_embeddings
from gseg.segmenters.config import FitConfig
from gseg.storage.store import SHARD, Store, count_builds

SIDE = 16
PLAIN = Experiment(
    generator="analytic.ellipses16",
    search=SearchConfig(steps=2, batch=2),
    samples=SampleConfig(batch=8, blocks_per_shard=1, filters=filter_preset("none")),
    data_size=20,
    validation_size=4,
    training=FitConfig(steps=1, batch=4, decay_at=None, width=2, depth=1),
)
CHOICE = ChoiceConfig(
    candidates=CandidateConfig(kind="random", count=8),
    affine=AffineConfig(steps=2, batch=2),
    pictures=4,
)
TRAINED = "ggan.scenes32"
EMBEDDED = "bigbigan.scenes32-large"
SCENES = EmbeddedScenes(count=6, encoder=EMBEDDED)
NETWORK = TrainedLabeller(count=4, training=PLAIN.training)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Labelled pictures, embeddings and a function that gives masks."""
    folder = tmp_path_factory.mktemp("files")
    write_scenes(folder / "pictures", range(600_000, 600_006), SIDE)
    width = find_card(PLAIN.generator).latent_dim
    np.save(folder / "embeddings.npy", np.random.default_rng(0).normal(size=(5, width)))
    (folder / "mine.py").write_text("def dark(x):\n    return x.mean(1) < 0\n")
    return folder


def _chains(files):
    labelled = LabelledPairs(benchmark=f"folder:{files / 'pictures'}", count=4, side=SIDE)
    selection = SelectionConfig(folder=str(files / "pictures" / "images"), candidates=30)
    other = labeller(f"{files / 'mine.py'}:dark")

    def samples(**changes):
        return replace(PLAIN.samples, **changes)

    return {
        "lighter": PLAIN,
        "held out nothing": replace(PLAIN, validation_size=0),
        "both": replace(PLAIN, mask_kind="both"),
        "ensemble": replace(PLAIN, mask_kind="ensemble"),
        "affine": replace(PLAIN, mask_kind="affine"),
        "affine_each": replace(PLAIN, mask_kind="affine_each"),
        "chosen": replace(PLAIN, generator=TRAINED, search=CHOICE),
        "chosen by affine ratio among pca": replace(
            PLAIN,
            generator=TRAINED,
            search=replace(
                CHOICE,
                rule="affine_ratio",
                candidates=CandidateConfig(kind="pca", count=2, samples=40),
            ),
        ),
        "selection": replace(PLAIN, selection=selection),
        "labeller": replace(PLAIN, labeller=other),
        "selection and labeller": replace(PLAIN, selection=selection, labeller=other),
        "labelled": replace(PLAIN, labelled=labelled),
        "shrunk": replace(PLAIN, train_resolution=8),
        "embeddings": replace(
            PLAIN, samples=samples(latents=near_embeddings(files / "embeddings.npy", alpha=0.1))
        ),
        "embeddings of scenes": replace(
            PLAIN, generator=EMBEDDED, samples=samples(latents=LatentConfig(scenes=SCENES))
        ),
        "labeller of true masks": replace(PLAIN, labeller=NETWORK),
        "all that hangs on scenes": replace(
            PLAIN,
            generator=EMBEDDED,
            samples=samples(latents=LatentConfig(scenes=SCENES, alpha=0.2)),
            mask_kind="affine",
            search=CHOICE,
            selection=replace(selection, candidates=22),
            labeller=NETWORK,
            distance=DistanceConfig(count=20),
        ),
        "truncation": replace(PLAIN, samples=samples(latents=LatentConfig(truncation=1.0))),
        "distance": replace(
            PLAIN, generator=TRAINED, search=CHOICE, distance=DistanceConfig(count=20)
        ),
        "distance to a folder": replace(
            PLAIN,
            distance=DistanceConfig(count=20, reference=f"folder:{files / 'pictures' / 'images'}"),
        ),
        "true masks": Experiment(
            method="true_masks", data_size=8, validation_size=4, training=PLAIN.training
        ),
        "labelled alone": Experiment(
            method="true_masks", labelled=labelled, validation_size=2, training=PLAIN.training
        ),
        "otsu": Experiment(method="otsu"),
    }


CHAINS = (
    *("lighter", "held out nothing", "both", "ensemble", "affine", "affine_each", "chosen"),
    *("chosen by affine ratio among pca", "selection", "labeller", "selection and labeller"),
    *("labelled", "shrunk", "embeddings", "truncation", "distance", "distance to a folder"),
    *("embeddings of scenes", "labeller of true masks", "all that hangs on scenes"),
    *("true masks", "labelled alone", "otsu"),
)

AGAIN = ("affine", "labeller of true masks", "distance to a folder", "labelled alone")
"""Chains that are run again without everything that hangs on each of their nodes."""


def _setting(folder):
    return Context(storage=folder / "storage", benchmarks=("scenes:3",))


def _plan(setting, *experiments):
    return make_plan(experiments, setting, "cpu")


def _run(experiment, setting):
    return run_trial(experiment, setting, LocalBackend("cpu"))


def _made(setting):
    """Stages and names on the disk."""
    folders = [path for path in setting.storage.glob("*/*") if path.is_dir()]
    return {(path.parent.name, path.name) for path in folders}


def _key(node, shop):
    return node.stage, shop.name(node)


def _built(setting):
    """How often everything was computed so far, shards of a set together."""
    counts = Counter()
    for (stage, name), times in count_builds(setting.storage).items():
        counts[("samples", name.split("/")[0]) if stage == SHARD else (stage, name)] += times
    return counts


def _bytes(folder):
    return {
        path: path.is_file() and (hashlib.sha256(path.read_bytes()).digest(), path.stat().st_mtime)
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("name", CHAINS)
def test_a_plan_names_what_the_run_leaves(files, tmp_path, name):
    experiment, setting = _chains(files)[name], _setting(tmp_path)
    before = _bytes(tmp_path)
    plan = _plan(setting, experiment)
    assert _bytes(tmp_path) == before
    assert not setting.storage.exists()
    assert plan.naive_stages == len(plan.missing)
    assert all(cost.seconds >= 0 for cost in plan.missing.values())
    rows = _run(experiment, setting)
    assert rows
    assert set(plan.missing) == _made(setting)
    before = _bytes(tmp_path)
    again = _plan(setting, experiment)
    assert not again.missing
    assert (again.seconds, again.disk_bytes, again.naive_stages) == (0, 0, 0)
    assert _bytes(tmp_path) == before
    graph = trial_graph(experiment, setting, "cpu")
    shop = Workshop(Store(setting.storage, read_only=True))
    nodes = list(shop.walk(*graph.targets))
    for node in nodes:  # each for itself is all that is missing, and all that is made again
        shutil.rmtree(shop.folder(node))
        assert set(_plan(setting, experiment).missing) == {_key(node, shop)}
        built = _built(setting)
        assert _run(experiment, setting)
        assert set(_built(setting) - built) == {_key(node, shop)}
    for node in nodes:  # and so with all that hangs on it
        hanging = [each for each in nodes if node in shop.walk(each)]
        keys = {_key(each, shop) for each in hanging}
        for each in hanging:
            shutil.move(shop.folder(each), tmp_path / "away" / each.stage / shop.name(each))
        assert set(_plan(setting, experiment).missing) == keys
        if name in AGAIN:
            built = _built(setting)
            assert _run(experiment, setting)
            assert set(_built(setting) - built) == keys
            shutil.rmtree(tmp_path / "away")
        else:
            for each in hanging:
                shutil.move(tmp_path / "away" / each.stage / shop.name(each), shop.folder(each))
    assert _made(setting) == set(plan.missing)


def test_what_hangs_on_something_missing_counts_if_it_is_missing(tmp_path):
    setting = _setting(tmp_path)
    _run(PLAIN, setting)
    for stage in ("samples", "scores"):
        shutil.rmtree(setting.storage / stage)
    assert _plan(setting, PLAIN).stages == {"samples": 2, "scores": 1}
    shutil.rmtree(setting.storage / "direction")
    assert _plan(setting, PLAIN).stages == {"direction": 1, "samples": 2, "scores": 1}
    larger = replace(PLAIN, data_size=30)
    stages = {"direction": 1, "samples": 2, "segmenter": 1, "scores": 1}
    assert _plan(setting, larger).stages == stages


def test_of_samples_only_those_that_are_missing_count(tmp_path):
    """What an interrupted run has drawn is not drawn again."""
    setting = _setting(tmp_path)
    larger = replace(PLAIN, data_size=200)
    whole = _plan(setting, larger)
    assert whole.disk_bytes == 200 * sample_bytes(SIDE) + 4 * sample_bytes(SIDE)
    _run(replace(PLAIN, data_size=80), setting)  # shards of 8, all accepted
    left = _plan(setting, larger)
    assert left.stages == {"samples": 1, "segmenter": 1, "scores": 1}
    assert left.disk_bytes == 120 * sample_bytes(SIDE)
    (cost,) = [cost for (stage, _), cost in left.missing.items() if stage == "samples"]
    assert cost.seconds == costs.draw_seconds(PLAIN.generator, 120, "cpu")
    assert left.seconds < whole.seconds


def test_a_damaged_shard_is_missing_and_stays_where_it_is(tmp_path):
    setting = _setting(tmp_path)
    _run(PLAIN, setting)
    shard = sorted(setting.storage.glob("samples/*/*.parquet"))[0]
    shard.write_bytes(shard.read_bytes()[:100])
    before = _bytes(tmp_path)
    assert _plan(setting, PLAIN).stages == {"samples": 1}
    assert _bytes(tmp_path) == before


def test_a_set_in_a_smaller_batch_is_found_under_its_name(tmp_path, monkeypatch):
    """The batch of 8 does not fit: the set has another name, which a plan cannot know before."""
    setting, backend = _setting(tmp_path), LocalBackend("cpu")
    draw = DrawJob.draw

    def draw_small(self, shard, seen=None):
        if self.orders[0].config.batch > 4:
            raise BatchTooLargeError(self.orders[0].config.batch)
        return draw(self, shard, seen)

    monkeypatch.setattr(DrawJob, "draw", draw_small)
    named = set(_plan(setting, PLAIN).missing)
    run_trial(PLAIN, setting, backend)
    assert not _plan(setting, PLAIN).missing
    larger = _plan(setting, replace(PLAIN, data_size=40))
    (again,) = [key for key in larger.missing if key[0] == "samples"]
    assert again not in named
    assert again in _made(setting)


def test_a_trial_s_own_fault_is_left_to_the_trial(tmp_path):
    lost = SelectionConfig(folder=str(tmp_path / "nowhere"), candidates=30)
    plan = _plan(_setting(tmp_path), replace(PLAIN, selection=lost), PLAIN)
    assert plan.stages == {"direction": 1, "samples": 2, "segmenter": 1, "scores": 1}
    assert len(plan.estimates) == 2


def test_many_trials_are_planned_in_seconds(tmp_path):
    trials = [
        replace(
            PLAIN,
            generator=TRAINED,
            search=replace(PLAIN.search, contrast_weight=1.0 + weight, epsilon=epsilon),
            samples=replace(PLAIN.samples, epsilon=epsilon),
        )
        for weight in range(50)
        for epsilon in (0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5)
    ]
    begun = time.perf_counter()
    plan = _plan(_setting(tmp_path), *trials)
    assert time.perf_counter() - begun < 5
    assert plan.stages == {"direction": 500, "samples": 1000, "segmenter": 500, "scores": 500}
