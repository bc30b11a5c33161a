import errno
import itertools
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gseg.directions.config import SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.plan import make_plan
from gseg.pipeline.trial import run_trial
from gseg.samples.config import SampleConfig, filter_preset
from gseg.search.source import sharing_groups
from gseg.segmenters.config import FitConfig
from gseg.storage.digests import digest
from gseg.storage.files import replacing, write_atomically
from gseg.storage.mirror import StorageError
from gseg.storage.store import SHARD, Store, count_builds, note_build


@dataclass(frozen=True)
class _Config:
    rate: float = 0.5
    widths: tuple[int, ...] = (1, 2)


def test_digest_depends_on_content_only():
    assert digest(_Config(), {"a": 1, "b": None}) == digest(_Config(), {"b": None, "a": 1})
    assert digest(_Config()) != digest(_Config(rate=0.25))
    assert digest("a", "b") != digest("ab")


def test_digest_is_the_same_on_every_machine():
    assert digest("direction", 1, _Config(), []) == "10d3ddf4acf4e22033ae"


def test_digest_refuses_what_it_cannot_name():
    with pytest.raises(TypeError, match="Cannot name object"):
        digest(object())


def test_make_runs_once(tmp_path):
    store = Store(tmp_path)
    calls = []

    def build(folder: Path):
        calls.append(folder)
        write_atomically(folder / "x.txt", b"hello")
        return {"count": 3}

    first = store.make("stage", version=1, config=_Config(), parents=["p"], build=build)
    again = store.make("stage", version=1, config=_Config(), parents=["p"], build=build)
    assert len(calls) == 1
    assert (first.reused, again.reused) == (False, True)
    assert again.facts == {"count": 3}
    assert again.manifest["parents"] == ["p"]
    assert sorted(path.name for path in again.folder.iterdir()) == ["manifest.json", "x.txt"]


def test_a_new_code_version_or_parent_is_another_artifact(tmp_path):
    store = Store(tmp_path)
    made = [
        store.make("stage", version=version, config={}, parents=parents, build=lambda folder: {})
        for version, parents in ((1, []), (2, []), (1, ["p"]))
    ]
    assert len({artifact.digest for artifact in made}) == 3


def test_a_failed_build_leaves_no_manifest_and_no_lease(tmp_path):
    store = Store(tmp_path)

    def fail(folder: Path):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        store.make("stage", version=1, config={}, parents=[], build=fail)
    made = store.make("stage", version=1, config={}, parents=[], build=lambda folder: {"ok": True})
    assert made.facts == {"ok": True}
    assert not (made.folder / "lease.json").exists()


def test_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x"
    write_atomically(path, b"old")
    with pytest.raises(FileNotFoundError), replacing(path) as part:
        part.write_bytes(b"half")
        (tmp_path / "missing").read_bytes()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_is_one_clear_line(tmp_path):
    with pytest.raises(StorageError, match="is full: x needs"), replacing(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_check_names_a_storage_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(StorageError, match=f"Cannot write to the storage {file}"):
        Store(file).check()


def test_check_tries_what_a_run_does(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)  # there is another way
    Store(tmp_path).check()
    for name, owner in (("fsync", os), ("replace", Path)):
        with monkeypatch.context() as broken:
            broken.setattr(owner, name, refuse)
            with pytest.raises(StorageError, match=f"{tmp_path}: Operation not supported"):
                Store(tmp_path).check()
    monkeypatch.setattr("gseg.storage.store.create_alone", lambda *_: True)
    with pytest.raises(StorageError, match="of two processes that create a file, both succeed"):
        Store(tmp_path).check()
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_store_makes_nothing(tmp_path):
    store = Store(tmp_path, read_only=True)
    with pytest.raises(AssertionError):
        store.make("stage", version=1, config={}, parents=[], build=lambda folder: {})
    assert list(tmp_path.iterdir()) == []


_GENERATORS = ("analytic.ellipses16", "analytic.ellipses20", "analytic.ellipses32")


def test_builds_are_counted_by_stage_and_name(tmp_path):
    assert count_builds(tmp_path) == Counter()
    note_build(tmp_path, "direction", "a")
    note_build(tmp_path, "direction", "a")
    note_build(tmp_path, SHARD, "b/0")
    (tmp_path / "builds" / "other.jsonl").write_text('{"stage": "scores", "name": "c"}\n{"sta')
    assert count_builds(tmp_path) == {
        ("direction", "a"): 2,
        (SHARD, "b/0"): 1,
        ("scores", "c"): 1,
    }


def _grid() -> list[Experiment]:
    plain = Experiment(
        generator=_GENERATORS[0],
        search=SearchConfig(steps=1, batch=2),
        samples=SampleConfig(batch=8, blocks_per_shard=1, filters=filter_preset("none")),
        data_size=8,
        validation_size=4,
        training=FitConfig(steps=1, batch=4, decay_at=None, width=2, depth=1),
    )
    return [
        replace(
            plain,
            generator=name,
            search=replace(plain.search, contrast_weight=weight, epsilon=epsilon),
            samples=replace(plain.samples, epsilon=epsilon),
            data_size=size,
        )
        for size, weight, epsilon, name in itertools.product(
            (24, 16, 8), (2.0, 5.0), (0.5, 1.0), _GENERATORS
        )
    ]


def test_the_stages_of_a_grid_are_computed_once_each(tmp_path):
    """Three generators x two λ x two ε x three sizes."""
    trials = _grid()
    setting, backend = Context(storage=tmp_path, benchmarks=("scenes:2",)), RayBackend(Resources())
    for trial, others in zip(trials, sharing_groups(trials, 1), strict=True):
        siblings = [trials[number] for number in others]
        rows = run_trial(trial, setting, backend, siblings=siblings)
        assert rows
    builds = count_builds(tmp_path)
    assert set(builds.values()) == {1}
    stages = Counter(stage for stage, _ in builds)
    assert stages == {
        "direction": 3 * 2 * 2,
        "segmenter": 3 * 2 * 2 * 3,
        "scores": 3 * 2 * 2 * 3,
        SHARD: 3 * 2 * 2 * (3 + 1),  # 24 samples to train on, and 4 held-out ones
    }
    sets = {name.partition("/")[0] for stage, name in builds if stage == SHARD}
    assert not make_plan(trials, setting, "cpu").missing
    planned = make_plan(trials, replace(setting, storage=tmp_path / "other"), "cpu")
    names = {("samples", name) for name in sets} | {key for key in builds if key[0] != SHARD}
    assert set(planned.missing) == names
    assert planned.naive_stages == 36 * 5
    for trial in trials[::7]:
        assert run_trial(trial, setting, backend)
    assert count_builds(tmp_path) == builds
