"""Trials whose storage is on an object store, on machines that come and go; without Ray."""

from dataclasses import replace
from pathlib import Path

import pytest

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context
from gseg.pipeline.jobs.train import FitJob
from gseg.pipeline.progress import silent
from gseg.pipeline.trial import find_parts, find_rows, run_trial
from gseg.randomness import derive_seed
from gseg.samples.shards import shard_name
from gseg.segmenters.segmenter import Segmenter
from gseg.storage.mirror import fetch, storage_folder
from gseg.storage.store import Store

_COSTS = ("seconds", "reused", "finished", "rows")


@pytest.fixture
def machine(bucket, tmp_path, monkeypatch):
    """Move to a machine by its name, and give its folder of the storage."""

    def move(name: str) -> Path:
        monkeypatch.setenv("GSEG_CACHE", str(tmp_path / name))
        return storage_folder(f"{bucket}/storage")

    return move


def setting(storage: Path) -> Context:
    return Context(storage=storage, benchmarks=("scenes:40",))


def backend() -> RayBackend:
    return RayBackend(Resources(placement="process"))


def compare(rows, others) -> None:
    for row, other in zip(rows, others, strict=True):
        for name, value in row.items():
            if not name.endswith(_COSTS):
                assert other[name] == value or value != value, name


def test_what_one_machine_made_another_finds(machine, tiny_experiment):
    rows = run_trial(tiny_experiment, setting(machine("first")), backend())
    there = setting(machine("second"))
    assert not there.storage.exists()
    found = find_rows(tiny_experiment, there, "cpu")
    assert found is not None
    compare(rows, found)
    assert not list(there.storage.glob("samples/*/shard-*.parquet"))  # no need to copy these
    larger = replace(tiny_experiment, data_size=tiny_experiment.data_size + 40)
    extended = run_trial(larger, there, backend())
    assert extended[0]["direction_reused"]
    assert extended[0]["accepted"] > rows[0]["accepted"]
    assert find_rows(larger, setting(machine("first")), "cpu") is not None


class _NodeLossError(Exception):
    pass


def test_an_unfinished_training_goes_on_on_another_machine(machine, tiny_experiment, tmp_path):
    storage = machine("first")
    run_trial(tiny_experiment, setting(storage), backend())
    pairs = find_parts(tiny_experiment, setting(storage), "cpu").members[0].samples.pairs
    config = replace(tiny_experiment.training, steps=20, seed=derive_seed(0, "another"))
    whole = FitJob(pairs=(pairs,), config=config, folder=tmp_path / "whole")
    job = replace(whole, folder=storage / "segmenter" / "x", checkpoint_seconds=0)

    def lose(stage: str, done: int, total: int, detail: str = "") -> None:
        if done == 7:
            raise _NodeLossError

    with pytest.raises(_NodeLossError):
        job.train(lose)
    elsewhere = machine("second") / "segmenter" / "x"
    steps = []
    moved = replace(job, folder=elsewhere)
    facts = moved.train(lambda stage, done, total, detail="": steps.append(done))
    assert steps[0] == 8
    expected = whole.train(silent)
    assert facts["final_loss"] == expected["final_loss"]
    files = (each.folder / "segmenter.safetensors" for each in (moved, whole))
    assert len({Segmenter.load(file).digest for file in files}) == 1
    assert fetch(moved.checkpoint)


def test_a_shard_that_was_damaged_on_disk_is_drawn_again(tiny_experiment, tmp_path):
    run_trial(tiny_experiment, setting(tmp_path), backend())
    pairs = find_parts(tiny_experiment, setting(tmp_path), "cpu").members[0].samples.pairs
    pictures, masks = pairs.load()
    path = pairs.shards[0]
    assert path.name == shard_name(0)
    whole = path.read_bytes()
    content = bytearray(whole)
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    again = pairs.load()
    assert again[0].equal(pictures)
    assert again[1].equal(masks)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-50])  # cut off: seen by whoever looks for samples
    rows = run_trial(
        replace(tiny_experiment, training=replace(tiny_experiment.training, seed=9)),
        setting(tmp_path),
        backend(),
    )
    assert rows
    assert path.read_bytes() == whole


def test_a_read_only_look_does_not_make_anything(machine, tiny_experiment):
    storage = machine("first")
    assert find_rows(tiny_experiment, setting(storage), "cpu") is None
    assert Store(storage).find("direction", "none") is None
