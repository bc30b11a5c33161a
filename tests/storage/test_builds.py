"""Work is shared: every stage of a grid is computed once, as counted while it is computed."""

import itertools
from collections import Counter
from dataclasses import replace

from gseg.directions.config import SearchConfig
from gseg.distributed.backend import RayBackend
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.plan import make_plan
from gseg.pipeline.trial import Context, run_trial
from gseg.samples.config import SampleConfig, filter_preset
from gseg.search.source import sharing_groups
from gseg.segmenters.config import FitConfig
from gseg.storage.builds import SHARD, count_builds, note_build

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
