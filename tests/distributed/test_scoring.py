"""Benchmarks of a trial on a pool of actors."""

import pandas as pd
import pytest

from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.graph import Workshop
from gseg.pipeline.stages.scores import ScoresNode
from gseg.storage.store import Store

pytestmark = pytest.mark.ray


def test_benchmarks_are_scored_alike_on_a_pool_and_in_the_process(tmp_path, local_ray):
    nodes = [
        ScoresNode(baseline="otsu", benchmark=f"scenes:{count}", device="cpu")
        for count in (520, 40)
    ]
    made, heard = {}, {"process": [], "cluster": []}
    for placement in ("process", "cluster"):
        backend = RayBackend(Resources(placement=placement))
        store = Store(tmp_path / placement)
        listen = heard[placement].append
        shop = Workshop(store, backend, lambda *words, to=listen: to(words))
        made[placement] = [shop.make(node) for node in nodes]
    for here, there in zip(*made.values(), strict=True):
        assert here.digest == there.digest
        assert here.facts == there.facts
        for name in ("images", "curves"):
            frames = (pd.read_parquet(one.folder / f"{name}.parquet") for one in (here, there))
            pd.testing.assert_frame_equal(*frames)
    # A hundred pictures are a part: the larger benchmark has six.
    told = [words for words in heard["cluster"] if words[1]]  # but for the beginning
    assert len(told) == 7
    assert told[5:] == [("scoring", 520, 520), ("scoring", 40, 40)]
