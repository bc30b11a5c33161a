"""Jobs of which a whole machine is lost: what comes out is what an undisturbed run gives."""

import threading
import time

import psutil
import pytest
import torch

from gseg.directions.direction import Direction
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.predict import ScoreJob
from gseg.pipeline.jobs.train import FitJob, Pairs
from gseg.pipeline.progress import silent
from gseg.pipeline.stages.directions import GivenDirection
from gseg.pipeline.trial import samples_node
from gseg.samples.config import SampleConfig
from gseg.samples.draw import draw
from gseg.samples.sets import load_samples
from gseg.scenes.pictures import VALIDATION_FIRST
from gseg.segmenters.checkpoint import read_curve
from gseg.segmenters.config import FitConfig
from gseg.segmenters.segmenter import Segmenter
from gseg.storage.store import Store

pytestmark = pytest.mark.ray

TRAINING = FitConfig(steps=400, batch=8, width=2, depth=2, decay_at=200, validate_every=120)
MATERIAL = {
    "pairs": (Pairs(count=60),),
    "validation": Pairs(count=10, first=VALIDATION_FIRST),
}
SAMPLES = SampleConfig(epsilon=2.0, batch=16, blocks_per_shard=4, seed=7)
COUNT = 4_000


class LosesNode(threading.Thread):
    """Takes the node away on which some kind of worker runs, once `ready`."""

    def __init__(self, cluster, worker, ready):
        super().__init__(daemon=True)
        self._cluster, self._worker, self._ready = cluster, worker, ready
        self.lost = False

    def run(self):
        while not self.lost:
            time.sleep(0.01)
            node = self._node() if self._ready() else None
            if node is not None:
                self._cluster.remove_node(node, allow_graceful=False)
                self.lost = True

    def _node(self):
        working = set()
        for process in psutil.Process().children(recursive=True):
            try:
                if self._worker in " ".join([process.name(), *process.cmdline()]):
                    working.add(process.ppid())
            except psutil.NoSuchProcess:
                continue
        for node in self._cluster.worker_nodes:
            if node.all_processes["raylet"][0].process.pid in working:
                return node
        return None


def test_a_training_goes_on_elsewhere_to_the_same_bits(tmp_path, cluster):
    expected = FitJob(**MATERIAL, config=TRAINING, folder=tmp_path / "here")
    RayBackend(Resources(placement="process")).train(expected, silent)
    job = FitJob(**MATERIAL, config=TRAINING, folder=tmp_path / "there", checkpoint_seconds=0.0)
    reached = []

    def is_on_its_way():
        if job.checkpoint.exists():
            reached.append(len(read_curve(job.checkpoint)[0]))
        return bool(reached) and reached[-1] >= 20

    loses = LosesNode(cluster, "TrainWorker", is_on_its_way)
    loses.start()
    RayBackend(Resources(placement="cluster")).train(job, silent)
    loses.join(timeout=10)
    assert loses.lost
    assert reached[-1] < TRAINING.steps
    digests = {
        Segmenter.load(each.folder / "segmenter.safetensors").digest for each in (job, expected)
    }
    assert len(digests) == 1


@pytest.mark.slow  # a lost actor in test_backend.py, a lost node in the other tests here
def test_samples_are_those_of_one_process(tmp_path, cluster):
    vector = known_direction(analytic_generator(32))
    direction = Direction(lighter=vector, darker=-vector, provenance={})
    direction.save(tmp_path / "direction")
    given = GivenDirection(given=tmp_path / "direction")
    wanted = samples_node("analytic.ellipses32", given, SAMPLES, COUNT, "cpu")
    storage = tmp_path / "storage"
    loses = LosesNode(
        cluster, "_Worker", lambda: len(list(storage.glob("samples/*/shard-*.parquet"))) >= 2
    )
    loses.start()
    backend = RayBackend(Resources(placement="cluster", actors=2))
    found = Workshop(Store(storage), backend).make(wanted)
    loses.join(timeout=10)
    assert loses.lost
    samples = load_samples(found.pairs.shards, COUNT)
    expected = draw(analytic_generator(32), direction, SAMPLES, COUNT)
    for name in ("indices", "pictures", "masks"):
        assert torch.equal(getattr(samples, name), getattr(expected, name)), name


def test_scores_are_those_of_one_process(tmp_path, cluster):
    job = ScoreJob(
        baseline="otsu",
        benchmark="scenes:8000",
        skip_bad=False,
        protocol="text",
        working_size=None,
    )
    heard = []
    loses = LosesNode(cluster, "_Worker", lambda: len(heard) >= 2)
    loses.start()
    there, here = (
        job.collect(RayBackend(Resources(placement=place)).run(job, job.missing(), heard.append))
        for place in ("cluster", "process")
    )
    loses.join(timeout=10)
    assert loses.lost
    assert there.aggregates == here.aggregates
    assert there.table.equals(here.table)
