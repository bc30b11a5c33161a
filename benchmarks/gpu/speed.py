"""Measuring on a device: seconds, pictures a second, and the share of what the card could do."""

import gc
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.findings import Task

PEAKS = {"H100 80GB HBM3": 989e12, "H200": 989e12}
"""Dense bfloat16 FLOP/s by Nvidia's data sheets; of other cards no share is given."""
WARM, REPEATS, REPEAT_SECONDS = 3, 5, 0.05


def share_of_peak(flop_per_second: float, device: torch.device) -> float | None:
    """Give the share of the card's dense bfloat16 rate, where that is known."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    peak = next((value for key, value in PEAKS.items() if key in name), None)
    return flop_per_second / peak if peak else None


def count_flops(run: Callable[[], object]) -> int:
    """Count the floating-point operations of a piece of work."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def rates(run: Callable[[], object], count: int, flops: float, task: Task) -> dict[str, Any]:
    """Time work on some pictures, of so many FLOPs each: the median of several repeats."""
    cuda = task.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    warm, repeats = (1, 2) if task.rehearsal else (WARM, REPEATS)
    spent(run, warm, task.device)
    once = spent(run, 1, task.device)
    calls = 1 if task.rehearsal else max(1, math.ceil(REPEAT_SECONDS / once))
    found = [spent(run, calls, task.device) / calls for _ in range(repeats)]
    rate = count / statistics.median(found)
    return {
        "batch": count,
        "pictures_per_second": rate,
        "slowest": count / max(found),
        "tflop_per_second": rate * flops / 1e12,
        "share_of_bfloat16_peak": share_of_peak(rate * flops, task.device),
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if cuda else None,
    }


def spent(run: Callable[[], object], calls: int, device: torch.device) -> float:
    """Give the seconds of some calls, until the device has finished them."""
    wait(device)
    began = time.perf_counter()
    for _ in range(calls):
        run()
    wait(device)
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    """Let the device finish what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def second_of(run: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Give the seconds of one call, from calls over about so many seconds; two go before."""
    spent(run, 1, device)
    calls = max(1, round(seconds / spent(run, 1, device)))
    return spent(run, calls, device) / calls


def fitting(measure: Callable[[int], dict[str, Any]], batch: int) -> dict[str, Any]:
    """Measure with half the batch as often as memory runs out."""
    while True:
        try:
            return measure(batch)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        free()
        batch //= 2


def free() -> None:
    """Give back the memory of what is gone."""
    gc.collect()
    torch.cuda.empty_cache()  # nothing where there is no card


def graphed(run: Callable[[], object]) -> Callable[[], None]:
    """Record a piece of work, always on the same tensors, as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay
