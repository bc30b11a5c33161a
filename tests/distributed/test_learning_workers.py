"""Candidate directions learnt in a Ray Train worker that is killed."""

import json
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch

from gseg.directions.candidates import CHECKPOINT, load_candidates
from gseg.directions.config import CandidateConfig, LearntConfig
from gseg.distributed.backend import _FACTS, _FAULT, RayBackend, train_replica
from gseg.distributed.runtime import Resources
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.train import LearnJob
from gseg.pipeline.stages.directions import CandidatesNode
from gseg.storage.store import Store

pytestmark = pytest.mark.ray

LEARNT = LearntConfig(steps=400, batch=4, learning_rate=1e-3)
CONFIG = CandidateConfig(count=4, learnt=LEARNT)


class _KillLearner(threading.Thread):
    """Kills the process that learns once it has kept some steps."""

    def __init__(self, storage: Path):
        super().__init__(daemon=True)
        self._storage, self.killed, self.over = storage, False, False

    def run(self):
        while not self.killed and not self.over:
            time.sleep(0.005)
            if not list(self._storage.glob(f"candidates/*/{CHECKPOINT}")):
                continue
            for process in psutil.Process().children(recursive=True):
                if "TrainWorker" in process.name() or "TrainWorker" in " ".join(process.cmdline()):
                    process.kill()
                    self.killed = True


def learn(folder, placement, config=CONFIG):
    backend = RayBackend(Resources(placement=placement))
    node = CandidatesNode(generator="analytic.ellipses32", candidates=config, device="cpu")
    return Workshop(Store(folder), backend).make(node)


def test_a_killed_worker_changes_nothing(tmp_path, local_ray):
    torch.set_num_threads(1)
    alone = learn(tmp_path / "process", "process")
    killer = _KillLearner(tmp_path / "cluster")
    killer.start()
    apart = learn(tmp_path / "cluster", "cluster")
    killer.over = True
    assert killer.killed
    assert apart.facts == alone.facts
    assert torch.equal(load_candidates(apart.folder), load_candidates(alone.folder))


@pytest.mark.slow  # the fault of a worker below, what becomes of it in test_training.py
def test_a_fault_is_told(tmp_path, local_ray):
    wild = CandidateConfig(count=4, learnt=LearntConfig(steps=20, batch=4, learning_rate=1e30))
    with pytest.raises(ValueError, match="diverged"):
        learn(tmp_path / "wild", "cluster", wild)


def test_a_worker_leaves_its_fault_instead_of_dying_of_it(tmp_path):
    wild = CandidateConfig(count=4, learnt=LearntConfig(steps=20, batch=4, learning_rate=1e30))
    job = LearnJob(generator="analytic.ellipses32", config=wild, folder=tmp_path)
    train_replica(job, rank=0, world=1)
    told = json.loads((tmp_path / _FAULT).read_text())
    assert "diverged" in told["reason"]
    assert told["own_fault"]
    assert not (tmp_path / _FACTS).exists()
