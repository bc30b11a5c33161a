"""Four of the kills; the program beside this file tries all of them."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from kill_works import difference, result

PROGRAM = Path(__file__).with_name("try_kills.py")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"iou": [0.5, 0.6], "seconds": [3, 4]}, ""),
        ({"iou": [0.6, 0.5], "seconds": [3, 4]}, ""),
        ({"iou": [0.5, 0.5], "seconds": [1, 2]}, "rows.parquet differs"),
        ({"iou": [0.5], "seconds": [1]}, "rows.parquet differs"),
    ],
)
def test_other_rows_are_another_result(tmp_path, rows, told):
    found = []
    for name, each in (("truth", {"iou": [0.5, 0.6], "seconds": [1, 2]}), ("found", rows)):
        (tmp_path / name).mkdir()
        pd.DataFrame(each).to_parquet(tmp_path / name / "rows.parquet")
        found.append(result(tmp_path / "storage", tmp_path / name))
    truth, other = found
    assert difference(other, truth).startswith(told)
    assert bool(difference(other, truth)) == bool(told)
    assert "is missing" in difference({}, truth)
    assert "is there besides" in difference({**truth, "more": 1}, truth)


@pytest.mark.ray
def test_a_command_killed_four_times_ends_as_if_nothing_had_been():
    root = str(PROGRAM.parents[2])
    done = subprocess.run(
        [sys.executable, PROGRAM, "--chain", "--patience", "3"],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
    assert done.stdout.splitlines()[-1].split() == ["all", "4", "4", "0"]
