"""Loss curves as tables: finished, unfinished, damaged."""

import pandas as pd
import pytest
import torch

from gseg.segmenters.checkpoint import Measurement, TrainingState, save_state
from gseg.segmenters.curves import curve_table, find_curves
from gseg.segmenters.unet import UNet

MEASURED = (
    Measurement(step=2, iou=0.25, loss=0.75),
    Measurement(step=3, iou=0.5, loss=0.5),
)


def finish(folder):
    folder.mkdir(parents=True)
    curve_table(torch.tensor([3.0, 2.0, 1.0]), MEASURED).to_parquet(folder / "losses.parquet")


def interrupt(folder):
    network = UNet(width=1, depth=1)
    state = TrainingState(
        network=network,
        optimiser=torch.optim.Adam(network.parameters()),
        losses=torch.tensor([5.0, 4.0, 0.0, 0.0]),
        foreground=torch.tensor(3),
        step=2,
        validation=[MEASURED[0]],
    )
    folder.mkdir(parents=True)
    save_state(folder / "checkpoint.safetensors", state, "some training")


def test_a_table_has_a_line_for_each_step():
    table = curve_table(torch.tensor([3.0, 2.0, 1.0]), MEASURED)
    assert table.step.tolist() == [1, 2, 3]
    assert table.loss.tolist() == [3.0, 2.0, 1.0]
    assert table.validation_iou.fillna(-1).tolist() == [-1, 0.25, 0.5]
    assert table.validation_loss.fillna(-1).tolist() == [-1, 0.75, 0.5]
    bare = curve_table(torch.tensor([3.0]), ())
    assert bare.validation_iou.isna().all()


def test_curves_of_a_storage(tmp_path):
    finish(tmp_path / "segmenter" / "b")
    interrupt(tmp_path / "segmenter" / "a")
    finish(tmp_path / "segmenter" / "c")
    (tmp_path / "segmenter" / "c" / "checkpoint.safetensors").write_bytes(b"left behind")
    curves = find_curves(tmp_path)
    assert [(curve.name, curve.finished) for curve in curves] == [
        ("a", False),
        ("b", True),
        ("c", True),
    ]
    assert curves[0].table.loss.tolist() == [5.0, 4.0]
    assert curves[0].table.validation_iou.tolist()[1] == 0.25
    for place in ("segmenter", "segmenter/b", "segmenter/b/losses.parquet"):
        (curve,) = [each for each in find_curves(tmp_path / place) if each.name == "b"]
        assert curve.table.loss.tolist() == [3.0, 2.0, 1.0]


def test_what_is_no_curve_is_said(tmp_path):
    with pytest.raises(ValueError, match="holds no loss curves; expected a sweep's storage"):
        find_curves(tmp_path)
    file = tmp_path / "losses.parquet"
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"Cannot read the loss curve .*losses.parquet"):
        find_curves(file)
    pd.DataFrame({"step": [1]}).to_parquet(file)
    with pytest.raises(ValueError, match="is no loss curve: it has no column loss"):
        find_curves(file)
