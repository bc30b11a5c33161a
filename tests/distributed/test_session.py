"""The Ray of one's own: who reaches it, where it writes, and how it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.ray


_ODD = """
import json, os, sys
import psutil, ray
from gseg.distributed.session import ray_session, session_folder

def found():
    return {name: value for name, value in os.environ.items() if name.startswith("RAY_AUTH")}

def main():
    before = found()
    with ray_session(num_cpus=1):
        folder = session_folder()
        told = {
            "folder": str(folder),
            "mode": oct(folder.stat().st_mode & 0o777),
            "token": os.environ["RAY_AUTH_TOKEN"],
            "in_files": [
                str(path)
                for path in folder.rglob("*")
                if path.is_file() and os.environ["RAY_AUTH_TOKEN"].encode() in path.read_bytes()
            ],
            "address": ray.nodes()[0]["NodeManagerAddress"],
        }
    print(json.dumps({**told, "again": found() == before}), flush=True)
    with ray_session(num_cpus=1):
        for each in psutil.Process().children():
            if each.name() == "raylet":
                each.kill()
        ray.get(ray.remote(lambda: 1).remote())

if __name__ == "__main__":
    main()
"""


def test_ray_starts_wherever_there_is_room_and_its_death_is_told_in_a_line(tmp_path):
    """No home, an odd temporary folder, a cluster elsewhere; a session that was killed before."""
    odd = tmp_path / "with blanks and ü" / ("long" * 25)
    odd.mkdir(parents=True)
    (tmp_path / "driver.py").write_text(_ODD)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="g") as short:
        left, anew = Path(short) / "gseg-left", Path(short) / "gseg-anew"
        left.mkdir()
        (left / ".gseg-ray.lock").touch()
        (anew / "r/session_1/runtime_resources").mkdir(parents=True)  # by an agent that ends late
        for folder in (left, anew):
            os.utime(folder, (0, 0))
        (Path(short) / "gseg-mine").mkdir()  # somebody's
        done = subprocess.run(
            [sys.executable, str(tmp_path / "driver.py")],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            env={name: value for name, value in os.environ.items() if "RAY_A" not in name}
            | {"HOME": "/proc/nowhere", "RAY_ADDRESS": "192.0.2.1:6379"}
            | {"RAY_TMPDIR": str(odd), "TMPDIR": short},
        )
        assert [path.name for path in Path(short).iterdir()] == ["gseg-mine"]
    told = json.loads(done.stdout)
    assert Path(told["folder"]).parent == Path(short)
    assert (told["mode"], told["address"]) == ("0o700", "127.0.0.1")
    assert re.fullmatch("[0-9a-f]{64}", told["token"])
    assert told["in_files"] == []
    assert told["again"]
    assert done.returncode == 1
    assert done.stderr == (
        "gseg: Ray's own process on this machine has ended (killed, or out of memory): run the "
        "same command again; it goes on from here.\n"
    )


def test_ray_leaves_sigterm_to_whoever_has_it(local_ray):
    """The system is asked: where Ray's C++ has the signal, Python tells of its own handler."""
    caught = int(re.search(r"SigCgt:\s*(\w+)", Path("/proc/self/status").read_text())[1], 16)
    assert bool(caught >> (signal.SIGTERM - 1) & 1) == callable(signal.getsignal(signal.SIGTERM))
    assert getattr(signal.getsignal(signal.SIGTERM), "__module__", "") != "ray._private.worker"
