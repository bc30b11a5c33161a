"""Writes the pinned names and bytes of today: ``python tests/pins/write.py [names] [bytes]``.

Only where one of them is meant to change: whatever changes here, storages lose.
"""

import sys
import tempfile
from pathlib import Path

import golden
import pinned


def write_names() -> None:
    trials = pinned.all_trials()
    recorder = pinned.Recorder()
    for name, some in trials.items():
        print(pinned.write(f"digests_{name}", pinned.digests(some)))
    print(pinned.write("stages", pinned.stage_names(trials, recorder)))
    print(pinned.write("stage_examples", recorder.examples))


def main() -> None:
    wanted = sys.argv[1:] or ["names", "bytes"]
    with tempfile.TemporaryDirectory() as folder, pinned.inputs(Path(folder)):
        if "names" in wanted:
            write_names()
        if "bytes" in wanted:
            print(pinned.write("golden", golden.left_behind(Path(folder) / "storage")))


if __name__ == "__main__":
    main()
