import pytest

from gseg.pipeline.progress import (
    HaltedError,
    MeasurementFile,
    following,
    read_measurements,
    silent,
)


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
