"""Trials that Tune gives up for a node's loss, not for a fault of their own."""

import os
from types import SimpleNamespace

import pytest

from gseg.distributed import run
from gseg.distributed.actor import PointActor
from gseg.distributed.run import RESTARTS, Listener, run_points
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context
from gseg.search.evaluate import Outcome, SweepWork
from gseg.search.source import ListedSource, Point


class _Heard(Listener):
    def __init__(self):
        self.begun, self.records, self.retries = [], [], []

    def started(self, point):
        self.begun.append(point.number)

    def ended(self, record, rows):
        self.records.append(record)

    def retried(self, point, attempt, reason):
        self.retries.append((point.number, attempt))


@pytest.fixture
def tracked(tiny_experiment):
    """Give a source of three points, a tracker of Tune's events, and who hears of them."""
    source = ListedSource([Point(number=number) for number in range(3)])
    heard = _Heard()
    work = SweepWork(trials=[tiny_experiment] * 3)
    return source, run._Tracker(work, source, heard, None), heard


def _hand_out(source, failures=1):
    config = run._Searcher(source).suggest("name")
    metadata = SimpleNamespace(num_failures=failures)
    return SimpleNamespace(config=config, run_metadata=metadata, error_file=None)


def test_a_dropped_trial_comes_next(tracked):
    source, tracker, heard = tracked
    tracker.on_trial_error(0, [], _hand_out(source))
    assert heard.retries == [(0, 1)]
    assert heard.records == []
    assert source.left == 3
    tracker.on_trial_error(0, [], _hand_out(source, RESTARTS + 1))
    assert [(each.number, each.state) for each in heard.records] == [(0, "failed")]
    assert heard.records[0].reason.startswith("4 attempts, the last: ")
    assert source.next().number == 1


def test_a_trial_that_is_dropped_every_time_fails(tracked):
    source, tracker, heard = tracked
    for _ in range(RESTARTS + 1):
        tracker.on_trial_error(0, [], _hand_out(source))
    assert [number for number, _ in heard.retries] == [0] * RESTARTS
    assert [each.number for each in heard.records] == [0]
    assert "dropped 4 times" in heard.records[0].reason


_KILLED = """Failure # 1 (occurred at 2026-11-27_23-14-02)
Task was killed due to the node running low on memory.
19926	0.45	ray::ResourceTrainable.train
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io. Consider
"""


def test_memory_that_ran_out_is_named_with_what_helps(tracked, tmp_path):
    source, tracker, heard = tracked
    trial = _hand_out(source, RESTARTS + 1)
    trial.error_file = str(tmp_path / "error.txt")
    (tmp_path / "error.txt").write_text(_KILLED)
    tracker.on_trial_error(0, [], trial)
    assert heard.records[0].reason == (
        "4 attempts, the last: its machine ran out of memory: run fewer at once (--concurrency), "
        "or add memory"
    )


def test_a_trial_that_is_lost_after_its_result_is_heard_once(tracked):
    source, tracker, heard = tracked
    trial = _hand_out(source)
    tracker.on_trial_start(0, [], trial)
    for _ in range(2):
        tracker.on_trial_result(0, [], trial, {"outcome": '{"rows": [], "values": {}}'})
    tracker.on_trial_recover(0, [], trial)
    tracker.on_trial_start(0, [], trial)
    tracker.on_trial_error(0, [], trial)
    assert [each.state for each in heard.records] == ["complete"]
    assert heard.begun == [0]
    assert heard.retries == []


def test_tune_is_not_told_of_the_end_while_a_trial_runs(tracked):
    source, tracker, _ = tracked
    source.at_once = 3
    searcher, trials = run._Searcher(source), [_hand_out(source) for _ in range(3)]
    for trial in trials:
        assert searcher.suggest("name") is None
        tracker.on_trial_result(0, [], trial, {"failure": "it diverged", "own_fault": True})
    assert searcher.suggest("name") == run.Searcher.FINISHED


@pytest.mark.ray
def test_a_trial_whose_process_is_lost_as_it_takes_it_over_is_run_again(
    tmp_path, local_ray, tiny_experiment, monkeypatch
):
    class Work:
        uses_labels = False

        def name_of(self, point):
            return str(point.number)

        def trials_of(self, point):
            return [tiny_experiment]

        def evaluate(self, point, setting, backend, report):
            return Outcome(rows=[], values={"iou": float(point.number)})

    class LostOnce(PointActor):
        def reset_config(self, new_config):
            mark = tmp_path / "lost"
            if hasattr(self, "_point") and not mark.exists():
                mark.touch()
                os._exit(1)
            return super().reset_config(new_config)

    monkeypatch.setattr(run, "PointActor", LostOnce)
    heard, source = _Heard(), ListedSource([Point(number=number) for number in range(3)])
    setting = Context(storage=tmp_path)
    records = run_points(Work(), source, setting, Resources(), listener=heard, large=False)
    assert {number for number, _ in heard.retries} == {1}
    assert heard.begun == [0, 1, 2]
    assert [each.values for each in records] == [{"iou": 0.0}, {"iou": 1.0}, {"iou": 2.0}]
    assert source.is_done
