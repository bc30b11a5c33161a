"""Searches on Ray Tune: early stopping, two objectives, labels, and going on from what is known."""

from dataclasses import replace

import numpy as np
import pytest

from gseg.distributed.run import Listener, run_points
from gseg.distributed.runtime import Asha, Resources
from gseg.pipeline.experiment import Context
from gseg.search.evaluate import SearchWork
from gseg.search.objectives import LABELS_USED, OBJECTIVES
from gseg.search.source import PointSource, Search
from gseg.search.space import Space, parse_space
from gseg.storage.store import count_builds

pytestmark = pytest.mark.ray


class _Kept(Listener):
    def __init__(self):
        self.records, self.rows, self.begun = [], [], []

    def started(self, point):
        self.begun.append(point.number)

    def ended(self, record, rows):
        self.records.append(record)
        self.rows += rows


def _search(grid, *words, objectives=("held_out_loss",), **options):
    return Search(
        space=Space(parameters=parse_space(words)),
        grid=grid,
        fixed={"generator": "analytic.ellipses32", "data_size": 48},
        objectives=tuple(OBJECTIVES[name] for name in objectives),
        **{"points": 4, **options},
    )


def _try(search, setting, records=(), *, at_once=2, **options):
    source, kept = PointSource(search, list(records), at_once=at_once), _Kept()
    work = SearchWork(search=search)
    run_points(work, source, setting, Resources(), listener=kept, large=False, **options)
    return kept, source


def test_unpromising_points_are_stopped_and_leave_nothing_locked(tmp_path, local_ray, tiny_grid):
    """Learning rates that learn nothing, after one that learns: they are stopped half-way."""
    grid = replace(
        tiny_grid,
        training=replace(tiny_grid.training, steps=60, decay_at=None, validate_every=15),
    )
    search = _search(
        grid,
        "train_learning_rate=0.005,1e-9,2e-9",
        sampler="grid",
        points=None,
        watched="held_out_loss",
    )
    setting = Context(storage=tmp_path, benchmarks=("scenes:12",))
    asha = Asha(watched="held_out_loss", grace=50, factor=2)
    kept, _ = _try(search, setting, at_once=1, asha=asha)
    first, *others = sorted(kept.records, key=lambda record: record.number)
    assert first.state == "complete"
    assert first.percent == 75
    assert {record.state for record in others} == {"pruned"}
    for record in others:
        assert record.percent == 50
        assert record.loss > first.values["held_out_loss"]
        assert record.reason.startswith("held_out_loss ")
        assert record.reason.endswith(" at 50 % of its training")
    assert {row["experiment"] for row in kept.rows} == set(first.experiments)
    builds = count_builds(tmp_path)
    assert [stage for stage, _ in builds].count("segmenter") == 1
    assert [stage for stage, _ in builds].count("direction") == 1
    assert not list(tmp_path.rglob("lease.json"))

    # Without early stopping they are tried again, and the first one's loss is what it was.
    plain = replace(search, watched="")
    more, source = _try(plain, setting, kept.records)
    assert {record.number for record in more.records} == {1, 2}
    assert {record.state for record in source.tried} == {"complete"}


def test_two_objectives_over_seeds_and_an_extended_space(tmp_path, local_ray, tiny_grid):
    setting = Context(storage=tmp_path, benchmarks=("scenes:12",))
    search = _search(
        tiny_grid,
        "epsilon=uniform:0.5:2",
        objectives=("combined", "stability"),
        trial_seeds=(0, 1),
        points=2,
    )
    kept, _ = _try(search, setting)
    assert len(kept.records) == 2
    for record in kept.records:
        assert record.state == "complete"
        assert len(record.experiments) == 2
        assert set(record.values) == {
            *("held_out_loss", "held_out_iou", "affine_ratio", "share_distance", "combined"),
            *("mask_ratio", "stability", "mask_stability"),
        }
        assert -1 <= record.values["stability"] <= 1
        assert -1 <= record.values["mask_stability"] <= 1
        assert 0 < record.values["mask_ratio"] <= 1
        rows = [row for row in kept.rows if row["experiment"] in record.experiments]
        assert {row["train_seed"] for row in rows} == {0, 1}
        losses = {row["experiment"]: row["validation_loss"] for row in rows}
        assert record.values["held_out_loss"] == pytest.approx(np.mean(list(losses.values())))
    assert {row["supervision"] for row in kept.rows} == {"none"}

    before = count_builds(tmp_path)
    wider = replace(
        search,
        space=Space(parameters=parse_space(["epsilon=uniform:0.5:3", "mask_kind=lighter,both"])),
        points=3,
    )
    more, source = _try(wider, setting, kept.records)
    assert len(source.known) == 2
    assert [record.number for record in more.records] == [2]
    assert all(times == 1 for times in count_builds(tmp_path).values())
    assert len(count_builds(tmp_path)) > len(before)


def test_labels_mark_every_row_and_a_failing_point_does_not_stop_the_others(
    tmp_path, local_ray, tiny_grid
):
    setting = Context(storage=tmp_path, benchmarks=("scenes:12",))
    search = _search(tiny_grid, "train_batch=8,1", objectives=("iou",), sampler="grid", points=None)
    search = replace(search, grid=_deep(tiny_grid))
    kept, _ = _try(search, setting)
    good, bad = sorted(kept.records, key=lambda record: record.number)
    assert good.values["iou"] > 0
    assert good.labels_used
    assert {row["supervision"] for row in kept.rows} == {LABELS_USED}
    assert bad.state == "failed"
    assert bad.own_fault
    assert "Batch normalisation needs more than one value" in bad.reason


def _deep(grid):
    """A U-Net whose deepest level is a single pixel: too little for batches of one."""
    return replace(grid, training=replace(grid.training, depth=5))


def test_a_search_that_is_out_of_time_has_points_left(tmp_path, local_ray, tiny_grid):
    setting = Context(storage=tmp_path, benchmarks=("scenes:12",))
    grid = replace(tiny_grid, training=replace(tiny_grid.training, steps=100_000, decay_at=None))
    search = _search(grid, "epsilon=0.5,1,2", sampler="grid", points=None)
    kept, source = _try(search, setting, at_once=1, seconds=8)
    assert kept.records == []
    assert source.tried == []
    assert source.wanted == 3
