"""How fast stored samples reach a trainer: pictures a second, on one core.

From memory and from shards, in the order of a training (`FitConfig.shuffle_window`), batches of
95 as the papers take them. To reach at 128 px: 5,000 a second from memory, 2,000 from shards.

The shards are written first, to a temporary folder: scenes rendered at that size, repeated (what
is in the pictures matters for the size of the files, hardly for the time; see `codecs.py`). The
process is bound to one core, and what counts is the CPU time of all its threads, which a busy
machine disturbs less than wall time; the files are in the system's cache.

    python benchmarks/reading.py
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import get_args

import cv2
import pyarrow as pa
import torch

from gseg.randomness import training_order
from gseg.samples.config import PictureFormat
from gseg.samples.shards import Shard, shard_name
from gseg.scenes.pictures import render
from gseg.segmenters.pairs import BatchSource, open_pairs, pair_bytes

BATCH, SHARD, DISTINCT = 95, 360, 720


def write(folder: Path, side: int, count: int, picture_format: PictureFormat) -> list[Path]:
    scenes = render(range(DISTINCT), resolution=side)
    paths = []
    for number in range(-(-count // SHARD)):
        rows = torch.arange(number * SHARD, (number + 1) * SHARD)
        shard = Shard(
            number=number,
            indices=rows,
            labels=scenes.labels[rows % DISTINCT],
            pictures=scenes.pictures[rows % DISTINCT],
            masks=scenes.masks[rows % DISTINCT],
            statistics={"foreground_share": scenes.masks[rows % DISTINCT].float().mean((1, 2))},
            counts={"candidates": SHARD, "accepted": SHARD},
            picture_format=picture_format,
        )
        paths.append(folder / shard_name(number))
        shard.save(paths[-1])
    return paths


def pace(source: BatchSource, count: int, window: int) -> float:
    """Pictures for each second of CPU time of all threads, over one epoch after the first batch."""
    steps = count // BATCH
    source.batch(training_order(0, 0, BATCH, count, window))
    began = time.process_time()
    for step in range(1, steps):
        source.batch(training_order(0, step, BATCH, count, window))
    return (steps - 1) * BATCH / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", nargs="*", type=int, default=[32, 128])
    parser.add_argument("--count", type=int, default=9_000)
    parser.add_argument("--window", type=int, default=2_048)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    print(f"{options.count:,} pictures, window {options.window:,}; pictures a second on one core")
    print(f"{'px':>4} {'format':<8} {'from memory':>12} {'from shards':>12} {'bytes/sample':>13}")
    for side in options.sides:
        for picture_format in get_args(PictureFormat):
            with tempfile.TemporaryDirectory() as folder:
                paths = write(Path(folder), side, options.count, picture_format)
                size = sum(path.stat().st_size for path in paths) / (len(paths) * SHARD)
                room = pair_bytes(side) * (options.count - 1)
                held = open_pairs(paths, options.count, window=options.window, memory=2**40)
                streamed = open_pairs(paths, options.count, window=options.window, memory=room)
                paces = [pace(each, options.count, options.window) for each in (held, streamed)]
            values = f"{paces[0]:>12,.0f} {paces[1]:>12,.0f} {size:>13,.0f}"
            print(f"{side:>4} {picture_format:<8} {values}")


if __name__ == "__main__":
    main()
