"""Features of large sets of pictures as Ray Data jobs."""

import numpy as np
import pytest

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.graph import Workshop
from gseg.pipeline.jobs.pictures import MeasureJob, PictureSet
from gseg.pipeline.stages.pictures import StatisticsNode
from gseg.storage.store import Store

pytestmark = pytest.mark.ray


def test_statistics_are_the_same_on_the_cluster_bit_for_bit(tmp_path, local_ray):
    node = StatisticsNode(
        pictures=PictureSet(generator="analytic.ellipses32", count=MeasureJob.part_size + 50),
        features="scenes",
        device="cpu",
    )
    found, heard = [], []
    for placement in ("process", "cluster"):
        backend = RayBackend(Resources(placement=placement, actors=2))
        shop = Workshop(Store(tmp_path / placement), backend, lambda *state: heard.append(state))
        found.append(node.read(shop))
    here, there = found
    assert here.count == there.count == MeasureJob.part_size + 50
    np.testing.assert_array_equal(here.moments.mean, there.moments.mean)
    np.testing.assert_array_equal(here.moments.covariance, there.moments.covariance)
    np.testing.assert_array_equal(here.kept.vectors, there.kept.vectors)
    assert heard[-1] == ("distance", MeasureJob.part_size + 50, MeasureJob.part_size + 50)
