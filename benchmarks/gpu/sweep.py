"""The main job as a user meets it, with the embedded generators: seconds to the table, its rows."""

import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.gpu.findings import Task

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--generators", "ggan.scenes32", "--preset", "smoke")
GPU_SHARE = ".125"
"""Of a trial: eight share the card, which the embedded generators' small kernels never fill."""
TAIL = 20.0
"""Seconds that are kept for the trials to let go, the table and the figures."""
ALL_DONE, SOME_LEFT = 0, 3
"""Exit codes of a sweep."""
BASELINES = {"otsu", "centre_disc", "grabcut"}
TRIALS = {"gan", "true_masks", "distilled"}
SHOWN = ("generator", "method", "data_size", "fid", "accuracy", "iou", "max_f_beta")


def sweep(task: Task) -> None:
    task.findings.attempt("main job", "sweeps/all_gans.py", lambda: run(task))


def run(task: Task) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "sweeps" / "all_gans.py"), "--plain"]
        command += ["--storage", f"{folder}/storage", "--results", f"{folder}/results"]
        if task.rehearsal:
            command += SMALL
        else:
            seconds = max(1.0, task.findings.seconds_left - TAIL)
            command += ["--gpus-per-trial", GPU_SHARE, "--max-hours", str(seconds / 3600)]
        log, began = task.logs / "all_gans.log", time.monotonic()
        code = logged(command, log, task.findings.seconds_left)
        took = time.monotonic() - began
        said = log.read_text(encoding="utf-8", errors="replace")
        if code not in ((ALL_DONE,) if task.rehearsal else (ALL_DONE, SOME_LEFT)):
            raise RuntimeError(f"The sweep's exit code is {code}; it ended with: {said[-1500:]}")
        rows = pd.read_parquet(f"{folder}/results/all_gans")
    trials = re.search(r"all_gans: (\d+) trials", said)
    found = check(rows, whole=code == ALL_DONE)
    shown = rows[rows.metric_profile == "melas2022_program"]
    task.findings.add({"table": {str(n): row for n, row in enumerate(table(shown))}})
    return {
        "seconds_to_the_table": took,
        "trials": int(trials[1]) if trials else None,
        **found,
        "command": " ".join(["python", "sweeps/all_gans.py", *command[3:]]).replace(folder, "TMP"),
    }


def logged(command: list[str], log: Path, seconds: float) -> int:
    """Run a command and log its lines with the seconds at which they came.

    Returns:
        Its exit code; that of a kill where it took longer than so many seconds.
    """
    began = time.monotonic()
    merged: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with (
        log.open("w", encoding="utf-8") as output,
        subprocess.Popen(command, **merged, text=True, errors="replace") as process,
    ):
        killer = threading.Timer(seconds, process.kill)
        killer.start()
        for line in process.stdout or ():
            output.write(f"[{time.monotonic() - began:5.1f} s] {line}")
            output.flush()
        killer.cancel()
    return process.returncode


def check(rows: pd.DataFrame, *, whole: bool) -> dict[str, Any]:
    """Count what is there, and see that it is what a sweep leaves."""
    methods = set(rows.method)
    if not rows.iou.between(0, 1).all():
        raise ValueError(f"IoU is between 0 and 1, got {rows.iou.describe().to_dict()}.")
    if (methods != BASELINES | TRIALS) if whole else not BASELINES <= methods <= BASELINES | TRIALS:
        raise ValueError(f"Expected rows of {sorted(BASELINES | TRIALS)}, got {sorted(methods)}.")
    done = rows[rows.method.isin(TRIALS)]
    if done.empty:
        raise ValueError("No trial was done.")
    return {"trials_done": int(done.experiment.nunique()), "rows": len(rows)}


def table(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Give the rows as JSON values, the best first."""
    chosen = rows.sort_values("iou", ascending=False)[list(SHOWN)]
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in chosen.astype(object).to_dict("records")
    ]
