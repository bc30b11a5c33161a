"""Commands that are stopped by Ctrl-C, as a terminal sends it, or SIGTERM, and then go on."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from gseg.cli import main
from gseg.commands.scenes import write_scenes
from gseg.directions.direction import Direction
from gseg.generators.analytic import analytic_generator, known_direction
from gseg.pipeline.rows import KEY

_NAME = "analytic.ellipses32"
_STOPPING = "stopping, finished work is kept"
_LAST = "interrupted; the same command goes on from here."
_SMALL = (
    *("--preset", "smoke", "--generators", _NAME, "--benchmark", "scenes:12", "--cpus", "1"),
    *("--search-steps", "2", "--train-steps", "40"),
)
# Of a quiet machine less than a tenth and a half of it; continuous integration is busy.
_HEARD_SECONDS, _ENDED_SECONDS = 3.0, 12.0


class _Stopped(NamedTuple):
    status: int
    shown: str
    heard: float
    ended: float


def _stop(command: list[str], folder: Path, sign: str, number: int) -> _Stopped:
    """Run a command in a terminal of its own, and send its group a signal.

    Args:
        command: Its words.
        folder: Where to look for the sign.
        sign: A pattern of the file by which it is known to be at work.
        number: Of the signal.
    """
    terminal, end = pty.openpty()
    shown, heard = bytearray(), threading.Event()

    def read() -> None:
        try:
            while piece := os.read(terminal, 4096):
                shown.extend(piece)
                if _STOPPING.encode() in shown:
                    heard.set()
        except OSError:  # nobody has it open any more
            return

    with subprocess.Popen(
        [sys.executable, "-m", "gseg", *command], stdout=end, stderr=end, start_new_session=True
    ) as process:
        os.close(end)
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            deadline = time.monotonic() + 280
            while not any(folder.glob(sign)):
                assert process.poll() is None, shown.decode()
                assert time.monotonic() < deadline, shown.decode()
                time.sleep(0.02)
            begun = time.monotonic()
            os.killpg(process.pid, number)
            assert heard.wait(60), shown.decode()
            said = time.monotonic() - begun
            status = process.wait(60)
            ended = time.monotonic() - begun
        finally:
            process.kill()
    reader.join(10)
    os.close(terminal)
    return _Stopped(status, shown.decode(), said, ended)


def _check(stopped: _Stopped, last: str = _LAST) -> None:
    """What every command does that is stopped."""
    assert stopped.status == 130, stopped.shown
    assert stopped.heard < _HEARD_SECONDS
    assert stopped.ended < _ENDED_SECONDS
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stopped.shown)
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    assert lines[-1].endswith(last)
    assert sum(_STOPPING in line for line in lines) == 1
    for chatter in ("Traceback", "(pid=", "raylet", "core_worker", "***", "are left", "KeyboardI"):
        assert chatter not in plain
    hidden, again = stopped.shown.rfind("\x1b[?25l"), stopped.shown.rfind("\x1b[?25h")
    assert hidden <= again, "the cursor is hidden"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSEG_WEIGHTS", "")


def test_samples_go_on_after_sigterm(tmp_path, capsys):
    vector = known_direction(analytic_generator(32))
    Direction(lighter=vector, darker=-vector).save(tmp_path / "direction")

    def command(out: str) -> list[str]:
        options = ("--epsilon", "2", "--batch", "16", "--direction", "direction")
        return ["samples", "draw", _NAME, "--count", "1500", *options, "--out", out]

    stopped = _stop(
        command("here"), tmp_path, "here/samples/*/shard-000001.parquet", signal.SIGTERM
    )
    _check(stopped)
    assert not list(tmp_path.glob("here/samples/*/lease.json"))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("here/samples/*/*.parquet")}
    assert 1 < len(kept) < 12
    assert main(command("here")) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert main(command("undisturbed")) == 0
    for path in tmp_path.glob("undisturbed/samples/*/*.parquet"):
        same = tmp_path / "here" / path.relative_to(tmp_path / "undisturbed")
        assert same.read_bytes() == path.read_bytes()


def test_segment_is_stopped_and_runs_again(tmp_path, capsys):
    write_scenes(tmp_path / "scenes", range(600_000, 600_400))
    command = ["segment", "scenes/images", "--out", "masks"]
    stopped = _stop(command, tmp_path, "masks/**/*.png", signal.SIGINT)
    _check(stopped, last="interrupted; the same command begins again.")
    assert "Ctrl-C again ends it at once" in stopped.shown
    assert 0 < len(list(tmp_path.glob("masks/**/*.png"))) < 400
    assert main(command) == 0
    assert len(list(tmp_path.glob("masks/**/*.png"))) == 400


def _rows(folder: Path) -> pd.DataFrame:
    rows = pd.read_parquet(folder).set_index(list(KEY)).sort_index()
    return rows[["accuracy", "iou", "validation_iou", "candidates", "images"]]


@pytest.mark.ray
@pytest.mark.parametrize(
    ("words", "number", "sign", "name"),
    [
        pytest.param(
            ("all-gans", "--data-size", "60", "90"),
            signal.SIGINT,
            "segmenter/*/lease.json",
            "all_gans",
            id="sweep-ctrl-c",
            marks=pytest.mark.slow,  # as `tests/kills` does
        ),
        pytest.param(
            ("search", "--data-size", "60", "--points", "2", "--space", "epsilon=0.5,1"),
            signal.SIGTERM,
            "segmenter/*/lease.json",
            "search",
            id="search-sigterm",
        ),
        pytest.param(
            ("all-gans", "--data-size", "60", "90", "--placement", "cluster"),
            signal.SIGTERM,
            "samples/*/lease.json",
            "all_gans",
            id="actors-sigterm",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ("run", "all_gans", "--data-size", "60", "90"),
            signal.SIGHUP,
            "samples/*/lease.json",
            "all_gans",
            id="recipe-sighup",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_points_on_ray_go_on(tmp_path, capsys, points_here, words, number, sign, name):
    """The whole group gets the signal, Ray's processes, too."""
    stopped = _stop([*words, *_SMALL], tmp_path / "storage", sign, number)
    _check(stopped)
    assert main([*words, *_SMALL]) == 0
    assert main([*words, *_SMALL, "--storage", "other", "--results", "undisturbed"]) == 0
    mine, expected = _rows(tmp_path / "results" / name), _rows(tmp_path / "undisturbed" / name)
    pd.testing.assert_frame_equal(mine, expected)
