"""Pictures of loss curves, and TensorBoard's event files."""

import errno
import struct

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboardX.proto.event_pb2 import Event

from gseg.reports.losses import curves_figure, write_events
from gseg.segmenters.checkpoint import Measurement
from gseg.segmenters.curves import Curve, curve_table
from gseg.storage.files import DiskFullError


def curve(name: str, *, measured: bool = True) -> Curve:
    losses = torch.linspace(1, 0.1, 50)
    looks = [Measurement(step=step, iou=step / 100, loss=0.3) for step in (25, 50)]
    return Curve(name=name, finished=True, table=curve_table(losses, looks if measured else []))


@pytest.mark.parametrize("count", [1, 4, 14])
def test_a_figure_shows_the_curves(tmp_path, count):
    curves_figure(tmp_path / "f.png", [curve(f"run {k}") for k in range(count)], title="a title")
    picture = np.asarray(Image.open(tmp_path / "f.png").convert("RGB"), dtype=int)
    colourful = (picture.max(2) - picture.min(2) > 40).mean(0)
    half = len(colourful) // 2
    assert colourful[:half].sum() > 0  # lines on the left, dots of the IoU on the right
    assert colourful[half:].sum() > 0


def test_without_held_out_pairs_there_is_one_panel(tmp_path):
    curves_figure(tmp_path / "one.png", [curve("a", measured=False)])
    curves_figure(tmp_path / "two.png", [curve("a", measured=False), curve("b")])
    widths = [Image.open(tmp_path / f"{name}.png").width for name in ("one", "two")]
    assert widths == [900, 1350]


def read_events(file):
    """Read (tag, step, value) from TensorBoard's records: length, check, content, check."""
    content, place, found = file.read_bytes(), 0, []
    while place < len(content):
        (length,) = struct.unpack("<Q", content[place : place + 8])
        event = Event.FromString(content[place + 12 : place + 12 + length])
        found += [(each.tag, event.step, each.simple_value) for each in event.summary.value]
        place += length + 16
    return found


def test_events_are_the_curve_and_are_written_once(tmp_path):
    run = tmp_path / "board" / "run"
    assert write_events(run, curve("a"))
    (file,) = run.iterdir()
    assert [path.name for path in run.parent.iterdir()] == ["run"]
    events = read_events(file)
    losses = [(step, value) for tag, step, value in events if tag == "training/loss"]
    assert [step for step, _ in losses] == list(range(1, 51))
    assert [value for _, value in losses] == pytest.approx(np.linspace(1, 0.1, 50), rel=1e-6)
    ious = {step: value for tag, step, value in events if tag == "held_out/iou"}
    assert ious == pytest.approx({25: 0.25, 50: 0.5})
    assert not write_events(run, curve("a"))
    assert list(run.iterdir()) == [file]


def test_events_on_a_full_disk_are_an_error_and_no_run(tmp_path, monkeypatch):
    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tensorboardX.record_writer.RecordWriter.write", write)
    with pytest.raises(DiskFullError, match=r"^The disk of .*run is full: events\.out\.tfevents\."):
        write_events(tmp_path / "run", curve("a"))
    assert list(tmp_path.iterdir()) == []
