"""A sweep over λ on Ray Tune: trials that draw the same candidates share G(z)."""

from itertools import pairwise

import pytest

from gseg.distributed.run import Listener, run_sweep
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context
from gseg.pipeline.jobs.draw import read_cost
from gseg.pipeline.trial import find_parts
from gseg.recipes.melas2022 import all_gans
from gseg.samples.shards import Shard

pytestmark = pytest.mark.ray

WEIGHTS = (2.5, 5.0)


def run(folder, experiments):
    """Run a sweep, one trial at a time; give the sets that its segmenters were trained on."""
    setting = Context(storage=folder, benchmarks=("scenes:40",))
    records = run_sweep(
        experiments, setting, Resources(concurrency=1), listener=Listener(), large=False
    )
    assert {record.state for record in records} == {"complete"}
    parts = [find_parts(experiment, setting, "cpu") for experiment in experiments]
    return [each.members[0].samples for each in parts]


def test_a_sweep_over_lambda_makes_each_original_once(tmp_path, tiny_grid, local_ray):
    axes = {"generator": ("analytic.ellipses32",), "contrast_weight": WEIGHTS}
    experiments = [each for each in all_gans(tiny_grid, axes) if each.method == "gan"]
    assert len(experiments) == len(WEIGHTS)
    shared = run(tmp_path / "shared", experiments)
    # The first trial draws for both: its sibling finds what it needs.
    assert len({each.pairs.shards[0].parent.name for each in shared}) == len(WEIGHTS)
    for first, second in pairwise(shared):
        both = list(zip(first.pairs.shards, second.pairs.shards, strict=False))
        assert len(both) >= 2
        for mine, other in both:
            # One pass wrote both files: they bear equal parts of one cost.
            assert read_cost(mine) == read_cost(other)
            candidates = Shard.load(mine).counts["candidates"]
            made = read_cost(mine)["forwards"] + read_cost(other)["forwards"]
            # Of every candidate one shifted picture for each λ, and at most one original.
            shifted = len(WEIGHTS) * candidates
            assert shifted < made <= shifted + candidates
    alone = [
        *run(tmp_path / "first", experiments[:1]),
        *run(tmp_path / "second", experiments[1:]),
    ]
    assert sum(each.forwards for each in shared) < sum(each.forwards for each in alone)
    for mine, other in zip(shared, alone, strict=True):
        for left, right in zip(mine.pairs.shards, other.pairs.shards, strict=True):
            assert left.read_bytes() == right.read_bytes()
