"""What the process of points hands over while it works, and when the work waits."""

import threading
import time
from dataclasses import replace

import pytest

from gseg.distributed import run
from gseg.distributed.actor import PointActor, _Attempt
from gseg.distributed.run import Listener, run_points, run_sweep
from gseg.distributed.runtime import Resources
from gseg.pipeline.experiment import Context, Experiment
from gseg.pipeline.progress import silent
from gseg.search.evaluate import Outcome, SweepWork
from gseg.search.source import ListedSource, Point
from gseg.storage.files import write_atomically
from gseg.storage.store import Store


def _attempt(*, holds):
    """Give an attempt that measures twice, and a list of what it has passed."""
    passed = []

    def work(report):
        report("training", 0, 100)
        for step in (25, 50):
            report.measured(step, 100, step / 100, 1 / step)
            passed.append(step)
        return Outcome(rows=[], values={})

    attempt = _Attempt(work, silent, holds=holds)
    attempt.start()
    return attempt, passed


def test_an_error_of_a_reader_whose_artifact_is_damaged_by_now_is_no_own_fault(tmp_path):
    store = Store(tmp_path)

    def build(folder):
        write_atomically(folder / "x.txt", b"content")
        return {}

    def make():
        return store.make("stage", version=1, config={}, parents=[], build=build)

    made = make()
    assert make().reused
    actor = PointActor.__new__(PointActor)
    actor._work = SweepWork(trials=[Experiment(method="otsu")])
    actor._point = Point(number=0, parameters={})
    actor._setting = Context(storage=tmp_path, benchmarks=("scenes:2",))
    error = ValueError(f"{made.folder}/x.txt holds no x.")
    assert actor._failed(error)["own_fault"]
    (made.folder / "x.txt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="holds no x"):  # to be started again
        actor._failed(error)
    assert not make().reused


def test_without_early_stopping_the_work_goes_on_at_once():
    attempt, passed = _attempt(holds=False)
    attempt.join(5)
    assert passed == [25, 50]
    found = [attempt.wait() for _ in range(3)]
    assert [each["percent"] for each in found[:2]] == [25, 50]
    assert found[1]["held_out_loss"] == 1 / 50
    assert isinstance(found[2], Outcome)


def test_with_early_stopping_the_work_waits_after_each_measurement():
    attempt, passed = _attempt(holds=True)
    assert attempt.wait()["percent"] == 25
    time.sleep(0.05)
    assert passed == []
    attempt.go_on()
    assert attempt.wait()["percent"] == 50
    assert passed == [25]
    attempt.halt()
    assert not attempt.is_alive()
    assert passed == [25]


def test_only_the_first_network_s_training_is_measured():
    def work(report):
        for _ in range(2):
            report("training", 0, 100)
            report.measured(50, 100, 0.5, 0.5)
            report("scoring", 0, 1)
        return Outcome(rows=[], values={})

    attempt = _Attempt(work, silent, holds=False)
    attempt.start()
    assert attempt.wait()["percent"] == 50
    assert isinstance(attempt.wait(), Outcome)


def test_an_error_is_handed_over_and_a_halt_is_none():
    def broken(report):
        raise ValueError("it diverged")

    attempt = _Attempt(broken, silent, holds=False)
    attempt.start()
    assert str(attempt.wait()) == "it diverged"
    begun = threading.Event()

    def endless(report):
        while True:
            begun.set()
            report("training", 0, 1)

    attempt = _Attempt(endless, silent, holds=False)
    attempt.start()
    begun.wait(5)
    attempt.halt()
    assert not attempt.is_alive()


@pytest.fixture
def results(monkeypatch):
    """Give all that Tune's callbacks see of results."""
    seen, hear = [], run._Tracker.on_trial_result

    def listen(self, iteration, trials, trial, result, **info):
        seen.append(dict(result))
        hear(self, iteration, trials, trial, result, **info)

    monkeypatch.setattr(run._Tracker, "on_trial_result", listen)
    return seen


@pytest.mark.ray
def test_callbacks_see_a_trial_s_measurements_while_it_runs(
    tmp_path, local_ray, tiny_experiment, monkeypatch
):
    class Work:
        uses_labels = False

        def name_of(self, point):
            return "only"

        def trials_of(self, point):
            return [tiny_experiment]

        def evaluate(self, point, setting, backend, report):
            report("training", 1, 4)
            report.measured(1, 4, 0.75, 0.5)
            end = time.monotonic() + 20
            while not (setting.storage / "seen").exists():
                assert time.monotonic() < end, "nobody has seen the measurement"
                time.sleep(0.01)
            return Outcome(rows=[], values={})

    def listen(self, iteration, trials, trial, result, **info):
        if "outcome" not in result:
            assert (result["percent"], result["held_out_iou"]) == (25, 0.75)
            (tmp_path / "seen").touch()
        hear(self, iteration, trials, trial, result, **info)

    hear = run._Tracker.on_trial_result
    monkeypatch.setattr(run._Tracker, "on_trial_result", listen)
    source, setting = ListedSource([Point(number=0)]), Context(storage=tmp_path)
    (record,) = run_points(Work(), source, setting, Resources(), listener=Listener(), large=False)
    assert record.state == "complete", record.reason
    assert record.percent is None  # points are not stopped by it here


@pytest.mark.ray
def test_a_sweep_s_trials_give_their_curves(tmp_path, local_ray, tiny_experiment, results):
    training = replace(tiny_experiment.training, steps=8, decay_at=None, validate_every=2)
    experiments = [replace(tiny_experiment, training=replace(training, seed=n)) for n in range(2)]
    setting = Context(storage=tmp_path, benchmarks=("scenes:12",))
    resources = Resources(concurrency=1)
    records = run_sweep(experiments, setting, resources, listener=Listener(), large=False)
    assert [each.state for each in records] == ["complete", "complete"]
    assert [each["percent"] for each in results] == [25, 50, 75, 75] * 2
    assert ["outcome" in each for each in results] == [False, False, False, True] * 2
    assert all(each["held_out_loss"] > 0 for each in results)
    assert all(0 <= each["held_out_iou"] <= 1 for each in results)
