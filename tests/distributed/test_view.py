"""What is seen while trials run; time is set by hand."""

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from gseg.distributed.view import Remaining, TrialsView, Watched
from gseg.pipeline.progress import FileReport
from gseg.search.records import Record
from gseg.search.source import Point


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("gseg.distributed.view.time.monotonic", lambda: now[0])
    return now


def test_time_left_follows_what_finished_trials_took(clock):
    left = Remaining(4, [10.0, 10.0, 20.0, 20.0])
    left.start(0)
    left.start(1)
    assert left.seconds() == pytest.approx(60 / 2)  # two at a time, estimates as they are
    clock[0] += 20
    assert left.end(0) == pytest.approx(20)  # twice the estimate: so is what is left
    assert left.seconds() == pytest.approx((0 + 40 + 40) / 2)
    left.start(2)
    clock[0] += 10
    assert left.seconds() == pytest.approx((30 + 40) / 2)
    left.end(1)
    left.end(2)
    left.start(3)
    assert left.seconds() >= 20  # the longest trial that runs
    left.end(3)
    assert left.seconds() == 0


def test_nothing_is_known_before_the_first_end_without_estimates(clock):
    left = Remaining(3, None)
    left.start(0)
    assert left.seconds() is None
    clock[0] += 6
    left.end(0)
    assert left.seconds() == pytest.approx(12)


def _view(folder: Path, out: io.StringIO, **options) -> TrialsView:
    def describe(point: Point) -> Watched:
        return Watched(f"trial {'abc'[point.number]}", folder / f"{point.number}.json")

    console = Console(file=out, width=200, force_terminal=options.pop("terminal", False))
    return TrialsView(console, 3, describe, estimates=[5.0, 5.0, 5.0], **options)


def _record(number: int, state="complete", **options) -> Record:
    return Record(number=number, parameters={}, experiments=(), state=state, **options)


def _wait(out: io.StringIO, text: str) -> str:
    deadline = time.monotonic() + 5
    while text not in out.getvalue():
        assert time.monotonic() < deadline, out.getvalue()
        time.sleep(0.01)
    return out.getvalue()


def test_plain_lines_say_done_running_failed_stage_and_time_left(tmp_path):
    out = io.StringIO()
    with _view(tmp_path, out, plain=True, line_seconds=0.05) as view:
        view.started(Point(number=0))
        view.started(Point(number=1))
        FileReport(tmp_path / "1.json")("training", 120, 300)
        view.ended(_record(0, "failed", reason="it broke"), [])
        shown = _wait(out, "0 of 3 trials done, 1 running, 1 failed")
    assert "[1/3, " in shown
    assert "trial a: failed: it broke, 0 s" in shown
    assert " left; trial b: training 120/300" in shown


def test_a_trial_that_is_started_again_runs_once(tmp_path):
    out = io.StringIO()
    with _view(tmp_path, out, plain=True, line_seconds=0.05) as view:
        view.started(Point(number=0))
        view.retried(Point(number=0), 1, "killed")
        view.started(Point(number=0))
        shown = _wait(out, "0 of 3 trials done, 1 running")
    assert "trial a: attempt 1 failed, tried again: killed" in shown


def test_the_live_view_shows_every_running_trial(tmp_path):
    out = io.StringIO()
    with _view(tmp_path, out, plain=False, terminal=True) as view:
        view.started(Point(number=2))
        FileReport(tmp_path / "2.json")("samples", 10, 40, "80% accepted")
        shown = _wait(out, "80% accepted")
    assert "0 of 3 trials done" in shown
    assert "trial c" in shown
    assert "10/40" in shown


def test_a_finished_trial_shows_the_score_that_the_table_shows(tmp_path):
    out = io.StringIO()
    row = {"metric_profile": "melas2022_program", "benchmark": "cub", "iou": 0.5}
    with _view(tmp_path, out, plain=True) as view:
        view.started(Point(number=0))
        view.ended(_record(0), [{**row, "metric_profile": "sod", "iou": 0.9}, row])
        view.started(Point(number=1))
        view.ended(_record(1), [row, {**row, "benchmark": "duts", "iou": 0.25}])
    assert "IoU 0.500" in out.getvalue()
    assert "0.9" not in out.getvalue()
    assert "IoU cub 0.500, duts 0.250" in out.getvalue()


def test_a_point_of_a_search_shows_its_objectives(tmp_path):
    out = io.StringIO()
    with _view(tmp_path, out, plain=True, objectives=("combined", "stability")) as view:
        view.ended(_record(0, values={"stability": 0.25, "combined": 1.5, "iou": 0.9}), [])
        view.ended(_record(1, "pruned", reason="at 50 %"), [])
    assert "trial a: combined 1.5000, stability 0.2500, 0 s" in out.getvalue()
    assert "[2/3, " in out.getvalue()
    assert "trial b: pruned: at 50 %, 0 s" in out.getvalue()
