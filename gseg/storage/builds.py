"""A record of what was computed in a storage, and how often: each stage once, if work is shared.

Every process that finishes a stage's output or a shard of samples appends a line to a file of its
own below ``<storage>/builds/``. What is found finished is not computed and leaves no line; what is
computed again, since it was damaged or since two processes did not know of each other, leaves a
second one. The record says nothing about results and may be deleted. On an object store each
machine has that of its own processes.
"""

import json
import logging
import os
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

SHARD: Final = "shard"
"""Stage under which shards of samples are counted."""
_FOLDER: Final = "builds"


def note_build(storage: Path, stage: str, name: str) -> None:
    """Note that this process has computed something.

    Args:
        storage: Folder of the artifacts.
        stage: Stage name; `SHARD` for a shard.
        name: Its digest; ``<digest of the set>/<number>`` for a shard.
    """
    path = storage / _FOLDER / f"{platform.node()}-{os.getpid()}.jsonl"
    line = {"stage": stage, "name": name, "at": round(time.time(), 3)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:  # a full disk; the work itself is done
        _log.warning("Not counted: %s %s (%s)", stage, name, error)


def count_builds(storage: Path) -> Counter[tuple[str, str]]:
    """Count how often everything was computed.

    Args:
        storage: Folder of the artifacts.

    Returns:
        Times by (stage, name): 1 each if nothing was computed twice.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for path in sorted((storage / _FOLDER).glob("*.jsonl")):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # cut off when its process was killed or the disk was full
                continue
            counts[entry["stage"], entry["name"]] += 1
    return counts
