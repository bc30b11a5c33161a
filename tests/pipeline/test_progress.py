import json

import pytest

from gseg.pipeline import progress
from gseg.pipeline.progress import FileReport, read_progress, silent


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
