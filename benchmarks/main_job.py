"""The main job as a user meets it: ``python benchmarks/main_job.py``.

Runs ``sweeps/all_gans.py`` twice in a fresh folder and prints: seconds to the table (first and
second run), start-up of Ray and Tune, and how busy the cores were: wall time after start-up times
cores over the sum of the stages' own seconds.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SWEEP = Path(__file__).parents[1] / "sweeps" / "all_gans.py"


def run(folder: Path, options: list[str]) -> tuple[float, str]:
    """Run the sweep; give its seconds and what it printed."""
    command = [sys.executable, str(_SWEEP), "--storage", str(folder / "storage")]
    command += ["--results", str(folder / "results"), "--plain", *options]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.monotonic() - started, done.stdout


def stage_seconds(storage: Path) -> float:
    """Add up what the stages say they took, each once."""
    manifests = [json.loads(path.read_text()) for path in storage.glob("*/*/manifest.json")]
    costs = [json.loads(path.read_text()) for path in storage.glob("samples/*/*.cost")]
    shards = [cost["seconds"] for cost in costs]
    return sum(manifest["seconds"] for manifest in manifests) + sum(shards)


def seconds_in(text: str) -> float:
    """Read a duration such as ``1 min 5 s``."""
    found = re.search(r"started in (?:(\d+) min )?(\d+) s", text)
    assert found is not None
    return 60 * int(found[1] or 0) + int(found[2])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("options", nargs="*", help="further options of the sweep, after --")
    options = parser.parse_args().options
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, printed = run(folder, options)
        again, _ = run(folder, options)
        work = stage_seconds(folder / "storage")
    startup = seconds_in(printed)
    print(printed)
    print(f"{'first run':34} {first:7.1f} s   (target 480)")
    print(f"{'second run':34} {again:7.1f} s   (target 30)")
    print(f"{'Ray and Tune':34} {startup:7.1f} s   (target 30)")
    print(f"{'stages, own seconds':34} {work:7.1f} s")
    ratio = (first - startup) * cores / work
    print(f"{'(wall - start-up) x cores / stages':34} {ratio:7.2f}     (target 1.2, {cores} cores)")


if __name__ == "__main__":
    main()
