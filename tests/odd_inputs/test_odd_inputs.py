"""Sixty of the damaged and odd inputs; the program beside this file tries all of them."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("try_all.py")


def test_sixty_odd_inputs_are_refused_in_a_line_or_change_nothing():
    # In a process of its own, whose memory is limited and whose output is caught whole.
    root = str(PROGRAM.parents[2])
    done = subprocess.run(
        [sys.executable, PROGRAM, "--count", "60"],
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
    assert done.stdout.splitlines()[-1].split()[:2] == ["all", "60"]
