"""What is kept about trials that failed, full disks and damaged files included."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gseg.directions.config import SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context, DistanceConfig, Experiment
from gseg.pipeline.failures import (
    details_file,
    forget_failure,
    is_own_fault,
    is_worth_another_attempt,
    known_failure,
    note_failure,
)
from gseg.pipeline.jobs.draw import BatchTooLargeError
from gseg.pipeline.trial import run_trial
from gseg.samples.config import SampleConfig, filter_preset
from gseg.samples.sets import AcceptanceError
from gseg.segmenters.config import FitConfig
from gseg.storage.files import DiskFullError
from gseg.storage.mirror import StorageError

_TINY = Experiment(
    generator="analytic.ellipses32",
    search=SearchConfig(steps=2, batch=4),
    samples=SampleConfig(batch=16, blocks_per_shard=1, filters=filter_preset("none")),
    data_size=40,
    validation_size=4,
    training=FitConfig(steps=3, batch=4, decay_at=None, width=4, depth=2),
)
_SCORES = ("iou", "accuracy", "validation_loss", "foreground_share", "candidates", "accepted")


def _setting(storage: Path) -> Context:
    return Context(storage=storage, benchmarks=("scenes:12",))


@pytest.mark.parametrize(
    ("error", "own", "again"),
    [
        (AcceptanceError("nothing is accepted"), True, False),
        (ValueError("the training diverged"), True, False),
        (ZeroDivisionError("x"), True, False),
        (KeyError("x"), True, False),
        (DiskFullError("no room"), False, False),
        (BatchTooLargeError(64), False, False),
        (StorageError("the store does not answer"), False, True),
        (OSError(errno.EIO, "input/output error"), False, True),
        (MemoryError(), False, True),
        (torch.OutOfMemoryError("CUDA"), False, True),
        (RuntimeError("CUDA error"), False, True),
    ],
)
def test_whose_fault_it_is(error, own, again):
    assert is_own_fault(error) is own
    assert is_worth_another_attempt(error) is again


def _fail(setting, error, experiment=_TINY):
    try:
        raise error
    except Exception as raised:
        return note_failure(experiment, setting, raised)


def test_an_own_fault_is_known_until_the_trial_succeeds(tmp_path):
    setting = _setting(tmp_path)
    assert known_failure(_TINY, setting) is None
    noted = _fail(setting, ValueError("it diverged\nat step 3"))
    assert known_failure(_TINY, setting) == noted
    assert noted.reason == "it diverged"
    assert "_fail" in Path(noted.details).read_text()
    (file,) = (tmp_path / "failures").iterdir()
    kept = json.loads(file.read_text())
    assert kept["trial"] == "analytic.ellipses32 N=40"
    assert kept["when"].endswith("Z")
    forget_failure(_TINY, setting)
    assert known_failure(_TINY, setting) is None
    assert not details_file(_TINY, setting).exists()
    forget_failure(_TINY, setting)


def test_a_failure_is_that_of_one_trial_on_its_benchmarks(tmp_path):
    setting = _setting(tmp_path)
    _fail(setting, ValueError("no"))
    assert known_failure(replace(_TINY, data_size=41), setting) is None
    assert known_failure(replace(_TINY, distance=DistanceConfig(count=2)), setting) is None
    assert known_failure(replace(_TINY, recipe="another"), setting) is not None
    assert known_failure(_TINY, replace(setting, benchmarks=("scenes:13",))) is None


def test_what_the_machines_did_is_tried_again_by_the_next_sweep(tmp_path):
    setting = _setting(tmp_path)
    noted = _fail(setting, OSError(errno.EIO, "input/output error"))
    assert not noted.own_fault
    assert "input/output error" in Path(noted.details).read_text()
    assert known_failure(_TINY, setting) is None


def test_other_versions_may_do_better(tmp_path, monkeypatch):
    setting = _setting(tmp_path)
    _fail(setting, ValueError("no"))
    monkeypatch.setattr("gseg.pipeline.failures.versions", lambda: {"torch": "another"})
    assert known_failure(_TINY, setting) is None


@pytest.mark.parametrize("content", [b"{", b"", b"[]", b"3", b"\xff\xfe\x00"])
def test_a_damaged_note_counts_as_none(tmp_path, content):
    setting = _setting(tmp_path)
    _fail(setting, ValueError("no"))
    (file,) = (tmp_path / "failures").iterdir()
    file.write_bytes(content)
    assert known_failure(_TINY, setting) is None


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 100 KiB: room for a direction, not for the samples."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root may make a small disk, on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no right to mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_trial_on_a_full_disk_says_what_and_how_much(small_disk, tmp_path, monkeypatch):
    setting, backend = _setting(small_disk / "storage"), RayBackend(Resources(placement="process"))
    with pytest.raises(DiskFullError, match=r"samples need \d+ KiB, .* has \d\d KiB left"):
        run_trial(_TINY, setting, backend)
    monkeypatch.setattr("gseg.pipeline.jobs.draw._check_space", lambda *_: None)
    with pytest.raises(
        DiskFullError, match=r"full: shard-.* needs more than the \d+ KiB that"
    ) as raised:
        run_trial(_TINY, setting, backend)
    noted = note_failure(_TINY, setting, raised.value)
    assert not noted.own_fault
    assert known_failure(_TINY, setting) is None
    monkeypatch.undo()
    larger = tmp_path / "larger"  # what was finished is taken along
    shutil.copytree(small_disk / "storage", larger)
    rows = run_trial(_TINY, _setting(larger), backend)
    assert all(row["direction_reused"] for row in rows)


def test_an_unreadable_shard_is_drawn_again_and_the_rows_are_the_same(tmp_path):
    setting, backend = _setting(tmp_path), RayBackend(Resources(placement="process"))
    before = run_trial(_TINY, setting, backend)
    shards = sorted(tmp_path.glob("samples/*/shard-*.parquet"))
    for shard in shards[:2]:
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 0xFF
        shard.write_bytes(bytes(content))
    for stage in ("segmenter", "scores"):
        shutil.rmtree(tmp_path / stage)
    after = run_trial(_TINY, setting, backend)
    assert [[row[name] for name in _SCORES] for row in after] == [
        [row[name] for name in _SCORES] for row in before
    ]
    assert [row["scores"] for row in after] == [row["scores"] for row in before]
    assert not any(row["training_reused"] for row in after)
