"""Trainings in Ray Train workers: killed ones, and ones that cannot work."""

import threading
import time
from dataclasses import replace

import psutil
import pytest

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.jobs.train import FitJob, Pairs
from gseg.pipeline.progress import silent
from gseg.scenes.pictures import VALIDATION_FIRST
from gseg.segmenters.checkpoint import read_curve
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter

pytestmark = pytest.mark.ray

CONFIG = FitConfig(steps=300, batch=8, width=2, depth=2, decay_at=200, validate_every=120)
MATERIAL = {
    "pairs": (Pairs(count=60),),
    "validation": Pairs(count=10, first=VALIDATION_FIRST),
}


class _KillTrainer(threading.Thread):
    """Kills the process that trains once it has kept some steps."""

    def __init__(self, job: FitJob):
        super().__init__(daemon=True)
        self._job, self.killed_at = job, None

    def run(self):
        while self.killed_at is None:
            time.sleep(0.005)
            if not self._job.checkpoint.exists():
                continue
            reached = len(read_curve(self._job.checkpoint)[0])
            if reached < 20:
                continue
            for process in psutil.Process().children(recursive=True):
                if "TrainWorker" in process.name() or "TrainWorker" in " ".join(process.cmdline()):
                    process.kill()
                    self.killed_at = reached


def test_killing_a_training_worker_changes_nothing(tmp_path, local_ray):
    facts, weights = {}, {}
    for placement in ("process", "cluster"):
        folder = tmp_path / placement
        pause = 0.0 if placement == "cluster" else 60.0
        job = FitJob(**MATERIAL, config=CONFIG, folder=folder, checkpoint_seconds=pause)
        killer = _KillTrainer(job)
        if placement == "cluster":
            killer.start()
        facts[placement] = RayBackend(Resources(placement=placement)).train(job, silent)
        weights[placement] = Segmenter.load(folder / "segmenter.safetensors")
        assert (killer.killed_at is not None) == (placement == "cluster")
    assert killer.killed_at < CONFIG.steps
    for name in ("final_loss", "validation_iou", "validation_loss", "foreground_share"):
        assert facts["process"][name] == facts["cluster"][name], name
    assert weights["process"].digest == weights["cluster"].digest
    # Killed while it wrote, a worker leaves the part that it had.
    names = (path.name for path in (tmp_path / "cluster").iterdir())
    kept = sorted(name for name in names if not name.endswith(".part"))
    assert kept == [
        "checkpoint.safetensors",
        "facts.json",
        "losses.parquet",
        "segmenter.safetensors",
    ]


def test_what_is_wrong_with_a_training_is_said_once_and_not_tried_again(tmp_path, local_ray):
    config = replace(CONFIG, learning_rate=1e38)
    job = FitJob(**MATERIAL, config=config, folder=tmp_path)
    with pytest.raises(ValueError, match=r"^The training diverged: its loss is nan at step 100"):
        RayBackend(Resources(placement="cluster")).train(job, silent)


def test_two_replicas_end_with_one_segmenter(tmp_path, local_ray, listening):
    losses = {}
    for replicas in (1, 2):
        config = replace(CONFIG, steps=40, replicas=replicas)
        job = FitJob(**MATERIAL, config=config, folder=tmp_path / str(replicas))
        facts = RayBackend(Resources(placement="process")).train(job, silent)
        assert 0 < facts["validation_iou"] <= 1
        losses[replicas] = facts["final_loss"]
    # Rank 0 sees half of each step's pairs, and batch normalisation with it.
    assert losses[1] == pytest.approx(losses[2], rel=0.2)
    assert any("TrainWorker" in name for name, _ in listening.found)


def test_what_killed_workers_left_goes_with_a_training_in_this_process(tmp_path):
    job = FitJob(**MATERIAL, config=replace(CONFIG, steps=2, decay_at=None), folder=tmp_path)
    left = tmp_path / "ray_train" / "run" / ".validate_storage_marker"
    left.parent.mkdir(parents=True)
    left.touch()
    RayBackend(Resources(placement="process")).train(job, silent)
    assert Segmenter.load(tmp_path / "segmenter.safetensors")
    assert not (tmp_path / "ray_train").exists()
