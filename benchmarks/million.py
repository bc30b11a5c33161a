"""A million samples in one command: ``python benchmarks/million.py --actors 2 --out FOLDER``.

Runs ``gseg samples draw`` in a new storage and prints:

- its time over the limit: what as many plain loops as it has actors, each in a process of its own,
  would take for as many candidates, from some of the shards. The command's time is all of it, with
  Ray's start and the search for the direction, so the ratio means little for a small ``--count``.
- the resident memory of all its processes together, and how it changes over the second half of the
  run. What processes share is counted in each.
- with ``--kill-at 0.5``: every process is killed when half of the samples are there, and the same
  command is run again. ``--compare`` names the storage of an uninterrupted run: every shard has to
  be the same, byte for byte; exit status 1 if one is not. What was computed twice is counted.

The last line is all of it as JSON. Another program on the machine spoils the first two.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil

from gseg.distributed.runtime import _ENVIRONMENT
from gseg.pipeline.jobs.draw import DrawJob, DrawOrder
from gseg.pipeline.jobs.job import prepare_process
from gseg.pipeline.trial import sample_nodes
from gseg.recipes.grids import grids
from gseg.recipes.melas2022 import all_gans
from gseg.samples.config import SampleConfig, filter_preset
from gseg.samples.sets import GrowingSet
from gseg.storage.store import count_builds

GENERATOR = "sngan.scenes32"
_LOOK_SECONDS, _ENDLESS = 2.0, 2**40


def settings() -> SampleConfig:
    """What the command draws with if nothing else is said; `limit` sees whether it does."""
    node = sample_nodes(all_gans(grids()["embedded"], {"generator": (GENERATOR,)})[0], "cpu")[0]
    return replace(node.samples, mask_kind="lighter", filters=filter_preset("gseg"))


def digests(storage: Path) -> dict[str, str]:
    paths = storage.glob("samples/*/shard-*.parquet")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def compare(ours: dict[str, str], theirs: dict[str, str]) -> dict[str, int]:
    same, both = len(ours.items() & theirs.items()), len(ours.keys() & theirs.keys())
    return {"same": same, "differ": both - same}


def counts(storage: Path, count: int = _ENDLESS) -> Mapping[str, int]:
    """Sum the shards that the first samples are in, as far as they are there."""
    folder = next(storage.glob("samples/*"), storage)
    growing = GrowingSet(folder, settings().shard_size, read_only=True)
    while growing.counts["accepted"] < count and growing.step():
        pass
    return growing.counts


def tree(process: subprocess.Popen) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]
    return []


def resident_mib(process: subprocess.Popen) -> float:
    total = 0
    for each in tree(process):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total / 2**20


def kill(process: subprocess.Popen) -> None:
    """Kill a process, its group and whatever it has started, at once."""
    started = tree(process)  # Ray's processes may be in groups of their own
    os.killpg(process.pid, signal.SIGKILL)
    for each in started:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()


def draw(options, kill_at: float | None = None) -> tuple[float, list[tuple[float, float]]]:
    """Run the command to its end or to so many samples; gives seconds, and (second, MiB) pairs."""
    command = [sys.executable, "-m", "gseg.cli", "samples", "draw", GENERATOR]
    command += ["--count", str(options.count), "--out", str(options.out)]
    command += ["--actors", str(options.actors)] if options.actors else []
    memory, began = [], time.monotonic()
    process = subprocess.Popen(command, start_new_session=True)
    try:
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
            memory.append((time.monotonic() - began, resident_mib(process)))
            if kill_at and counts(options.out)["accepted"] >= kill_at * options.count:
                break
        seconds = time.monotonic() - began
        if process.returncode != (0 if kill_at is None else None):
            raise RuntimeError(f"The command has ended too early: status {process.returncode}.")
        return seconds, memory[:-1]
    finally:
        if process.poll() is None:
            kill(process)


def slope(memory: list[tuple[float, float]]) -> float:
    """MiB an hour over the second half; 0 where that was looked at less than twice."""
    seconds, mib = np.array(memory[len(memory) // 2 :] or [(0, 0)]).T
    return float(3600 * np.polyfit(seconds, mib, 1)[0]) if len(mib) > 1 else 0.0


def loop(job: DrawJob, first: int, shards: range, barrier) -> float:
    prepare_process(1)
    job.draw(first)  # loads the generator, takes the memory
    barrier.wait()
    began = time.monotonic()
    job.alone(shards, lambda _: None)
    return time.monotonic() - began


def limit(options, loops: int) -> float:
    """Draw some of the command's shards in plain loops; gives seconds for each candidate."""
    os.environ |= {"GLIBC_TUNABLES": _ENVIRONMENT["GLIBC_TUNABLES"]}  # read by new processes
    (direction,) = options.out.glob("direction/*/direction.safetensors")
    config, total = settings(), loops * options.limit_shards
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(dir=options.out.parent) as name,
        spawn.Manager() as manager,
        ProcessPoolExecutor(loops, mp_context=spawn) as pool,
    ):
        folder, barrier = Path(name, "samples", "limit"), manager.Barrier(loops)
        order = DrawOrder(direction=direction.parent, config=config, folder=folder, count=_ENDLESS)
        job = DrawJob(generator=GENERATOR, orders=(order,))
        running = [
            pool.submit(loop, job, total + each, range(each, total, loops), barrier)
            for each in range(loops)
        ]
        spent = [each.result() for each in running]
        found = compare(digests(Path(name)), digests(options.out))
    if found["differ"] or not found["same"]:
        raise RuntimeError("Plain loops drew other shards than the command: see settings().")
    return sum(spent) / loops / (total * config.shard_size)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--count", type=int, default=1_000_000)
    add("--actors", type=int, default=0, help="0: the command draws in its own process")
    add("--out", type=lambda text: Path(text).absolute(), required=True, help="a new storage")
    add("--kill-at", type=float, metavar="SHARE", help="kill it when so much is there")
    add("--compare", type=Path, metavar="FOLDER", help="storage of an uninterrupted run")
    add("--limit-shards", type=int, default=60, help="shards of each plain loop; 0: no limit")
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"{options.out} is there already: the time to draw needs a new storage")
    before = 0.0 if options.kill_at is None else draw(options, options.kill_at)[0]
    line = {"count": options.count, "actors": options.actors, "killed_after": round(before, 1)}
    line["shards_then"] = len(digests(options.out))
    seconds, memory = draw(options)
    ours, built = digests(options.out), count_builds(options.out)
    line |= {
        "seconds": round(before + seconds, 1),
        "shards": len(ours),
        "candidates": counts(options.out, options.count)["candidates"],
        "computed_twice": built.total() - len(built),
        "mib": round(max((mib for _, mib in memory), default=0)),
        "mib_an_hour": round(slope(memory), 1),
    }
    if options.limit_shards:
        line["limit"] = round(limit(options, options.actors or 1) * line["candidates"], 1)
        line["ratio"] = round(line["seconds"] / line["limit"], 3)
    if options.compare is not None:
        line |= compare(ours, digests(options.compare))
    print(*(f"{name.replace('_', ' '):14} {value:>12,}" for name, value in line.items()), sep="\n")
    print(json.dumps(line))
    return int(options.compare is not None and (line["differ"] > 0 or not line["same"]))


if __name__ == "__main__":
    sys.exit(main())
