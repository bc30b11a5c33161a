"""How far a trial is, and what a training elsewhere has measured, told through small files."""

import json

import pytest

from gseg.pipeline import progress
from gseg.pipeline.progress import (
    FileReport,
    HaltedError,
    MeasurementFile,
    following,
    read_measurements,
    read_progress,
    silent,
)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_what_is_written_can_be_read(tmp_path):
    report = FileReport(tmp_path / "progress" / "a.json")
    report("training", 30, 300)
    assert read_progress(tmp_path / "progress" / "a.json") == ("training", 30, 300, "")
    report("samples", 1, 2, "50% accepted")
    assert read_progress(tmp_path / "progress" / "a.json") == ("samples", 1, 2, "50% accepted")


def test_nothing_is_known_before_the_first_word(tmp_path):
    assert read_progress(tmp_path / "a.json") is None


def test_a_file_that_is_no_report_is_ignored(tmp_path):
    (tmp_path / "a.json").write_text("{")
    assert read_progress(tmp_path / "a.json") is None


def test_a_stage_writes_at_most_twice_a_second(tmp_path, clock):
    path = tmp_path / "a.json"
    report = FileReport(path)
    seen = []
    for number in range(11):
        report("training", number, 10)
        seen.append(read_progress(path)[1])
        clock[0] += 0.125
    assert seen == [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8]


def test_a_new_stage_is_written_at_once(tmp_path, clock):
    path = tmp_path / "a.json"
    report = FileReport(path)
    report("samples", 9, 10)
    report("training", 0, 300)
    assert json.loads(path.read_text()) == {
        "stage": "training",
        "done": 0,
        "total": 300,
        "detail": "",
    }


def test_silence():
    assert silent("training", 1, 2) is None


class _Ear:
    def __init__(self, halt_after=None):
        self.heard, self._halt_after = [], halt_after

    def __call__(self, stage, done, total, detail=""):
        raise AssertionError("only measurements are told")

    def measured(self, step, total, iou, loss):
        self.heard.append((step, total, iou, loss))
        if len(self.heard) == self._halt_after:
            raise HaltedError


@pytest.mark.parametrize("look_seconds", [0.001, 5.0])
def test_measurements_are_told_once_each_and_in_order(tmp_path, look_seconds):
    path, ear = tmp_path / "measured.json", _Ear()
    with following(path, ear, look_seconds=look_seconds):
        writer = MeasurementFile(path)
        for step in (10, 20, 30):
            writer.measured(step, 40, step / 100, 1 / step)
    assert ear.heard == [(10, 40, 0.1, 0.1), (20, 40, 0.2, 1 / 20), (30, 40, 0.3, 1 / 30)]


def test_what_was_told_before_an_interruption_is_not_told_again(tmp_path):
    path, ear = tmp_path / "measured.json", _Ear()
    MeasurementFile(path).measured(10, 40, 0.1, 0.9)
    with following(path, ear, look_seconds=5.0):
        MeasurementFile(path).measured(20, 40, 0.2, 0.8)
    assert ear.heard == [(20, 40, 0.2, 0.8)]
    assert [each["step"] for each in read_measurements(path)] == [10, 20]


def test_who_halts_hears_no_more(tmp_path):
    path, ear = tmp_path / "measured.json", _Ear(halt_after=1)
    with following(path, ear, look_seconds=5.0):
        writer = MeasurementFile(path)
        writer.measured(10, 40, 0.1, 0.9)
        writer.measured(20, 40, 0.2, 0.8)
    assert ear.heard == [(10, 40, 0.1, 0.9)]


def test_other_reports_are_left_alone(tmp_path):
    with following(tmp_path / "measured.json", silent):
        MeasurementFile(tmp_path / "measured.json").measured(10, 40, 0.1, 0.9)


@pytest.mark.parametrize("content", [b"", b"{", b"[3]", b"3", b'{"a": 1}', b"\xff\xfe\x00"])
def test_what_is_damaged_tells_nothing(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert read_progress(path) is None
    assert read_measurements(path) == []
