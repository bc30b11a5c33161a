"""Trials that Tune gives up for a node's loss, not for a fault of their own."""

from types import SimpleNamespace

from gseg.distributed import sweep
from gseg.distributed.runtime import Resources
from gseg.distributed.sweep import Listener, run_sweep
from gseg.distributed.tuning import RESTARTS
from gseg.pipeline.trial import Context


class _Heard(Listener):
    def __init__(self):
        self.failed_numbers, self.retried_numbers = [], []

    def failed(self, failure, number):
        self.failed_numbers.append(number)

    def retried(self, number, attempt, reason):
        self.retried_numbers.append(number)


def _sweep(tmp_path, experiment, monkeypatch, outcomes):
    """Run three trials on a Tune that drops those of each round, or ends them for good."""
    rounds = []

    def fake_tune(trainable, numbers, concurrency, tracker, seconds):
        rounds.append(list(numbers))
        for number, attempts in outcomes[len(rounds) - 1].items():
            trial = SimpleNamespace(
                config={"number": number},
                run_metadata=SimpleNamespace(num_failures=attempts),
                error_file=None,
            )
            tracker.on_trial_error(0, [], trial)

    monkeypatch.setattr(sweep, "_tune", fake_tune)
    monkeypatch.setattr(sweep, "with_later_actors", lambda resources: resources)
    monkeypatch.setattr(sweep.tune, "with_parameters", lambda trainable, **kept: trainable)
    heard = _Heard()
    failures = run_sweep(
        [experiment] * 3,
        Context(storage=tmp_path),
        Resources(concurrency=1),
        listener=heard,
        large=False,
    )
    return rounds, heard, failures


def test_a_dropped_trial_is_run_again(tmp_path, tiny_experiment, monkeypatch):
    rounds, heard, failures = _sweep(
        tmp_path, tiny_experiment, monkeypatch, [{1: 1, 2: RESTARTS + 1}, {}]
    )
    assert rounds == [[0, 1, 2], [1]]
    assert heard.retried_numbers == [1]
    assert heard.failed_numbers == [2]
    assert len(failures) == 1


def test_a_trial_that_is_dropped_every_time_fails(tmp_path, tiny_experiment, monkeypatch):
    rounds, heard, failures = _sweep(
        tmp_path, tiny_experiment, monkeypatch, [{0: 1}] * (RESTARTS + 1)
    )
    assert len(rounds) == RESTARTS + 1
    assert heard.failed_numbers == [0]
    assert "dropped 4 times" in failures[0].reason


def test_a_trial_that_is_lost_after_its_result_is_heard_once(tmp_path, tiny_experiment):
    finished = []

    class Finished(_Heard):
        def finished(self, number, rows):
            finished.append((number, rows))

    heard = Finished()
    tracker = sweep._Tracker([tiny_experiment], Context(storage=tmp_path), heard)
    trial = SimpleNamespace(
        config={"number": 0}, run_metadata=SimpleNamespace(num_failures=1), error_file=None
    )
    for _ in range(2):
        tracker.on_trial_result(0, [], trial, {"number": 0, "rows": "[]"})
    tracker.on_trial_error(0, [], trial)
    assert finished == [(0, [])]
    assert heard.retried_numbers == heard.failed_numbers == tracker.take_dropped() == []
