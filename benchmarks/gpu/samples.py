"""Drawing at BigBiGAN's size, two directions at once, half of the candidates accepted.

Weights are random and the verdicts fixed: all candidates pass the histogram and are judged, and
every second one is accepted. So everything is computed that a trained generator would make gseg
compute; noisy masks have more components than real ones.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.generators import inputs
from benchmarks.gpu.findings import Task
from benchmarks.gpu.networks import BIGBIGAN, build_generator
from benchmarks.gpu.speed import second_of
from benchmarks.samples import some_directions
from gseg.generators.contract import Generator, forward_with, sampling_setting
from gseg.samples import filters
from gseg.samples.config import REASONS, SampleConfig
from gseg.samples.draw import draw_shards
from gseg.samples.filters import Verdicts

AIM_PER_SECOND, AIM_RATIO = 1670, 1.15
SECONDS, FORWARD_SECONDS, RESERVE = 60.0, 3.0, 9.0
"""Of drawing and of the bare forwards before and after; what is left for these and the profile."""
SHOWN = 8
AREA = 1 + REASONS.index("area")


def samples(task: Task) -> None:
    generator = build_generator(BIGBIGAN, task)
    small = SampleConfig(mask_kind="both", batch=4, blocks_per_shard=2)
    config = small if task.rehearsal else SampleConfig(mask_kind="both")
    with half_accepted():
        task.findings.attempt(
            "drawing", f"{BIGBIGAN}, v_l and v_d", lambda: drawing(generator, config, task)
        )
        task.findings.attempt("profile", "a shard", lambda: profiled(generator, config, task))


@contextmanager
def half_accepted() -> Iterator[None]:
    """Let every second candidate be accepted, after all have been judged."""
    judge_histograms, judge_masks = filters.judge_histograms, filters.judge_masks

    def pass_all(*args: Any, **options: Any) -> Any:
        passed, maxima = judge_histograms(*args, **options)
        return np.ones_like(passed), maxima

    def accept_half(*args: Any, **options: Any) -> Verdicts:
        verdicts = judge_masks(*args, **options)
        fixed = np.where(np.arange(len(verdicts.reasons)) % 2, AREA, 0)
        return replace(verdicts, reasons=fixed)

    with (
        patch.object(filters, "judge_histograms", pass_all),
        patch.object(filters, "judge_masks", accept_half),
    ):
        yield


def drawing(generator: Generator, config: SampleConfig, task: Task) -> dict[str, Any]:
    """Draw shard after shard, and compare with the bare forwards of as many pictures."""
    requests = [(some_directions(generator, 1)[0], config)]
    bare_seconds = 0.2 if task.rehearsal else FORWARD_SECONDS
    setting = sampling_setting(generator.device)
    call = forward_with(generator, setting)
    code, y = inputs(generator, range(config.batch))

    def bare() -> float:
        with torch.inference_mode():
            return second_of(lambda: call(code, y), bare_seconds, task.device) / config.batch

    draw_shards(generator, requests, 0)
    before = bare()
    wished = 2.0 if task.rehearsal else SECONDS
    seconds = min(wished, task.findings.seconds_left - RESERVE)
    shards = forwards = accepted = 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        drawn = draw_shards(generator, requests, shards)
        shards, forwards = shards + 1, forwards + drawn.forwards
        accepted += len(drawn.shards[0])
    wall = time.perf_counter() - began
    picture = (before + bare()) / 2
    candidates = shards * config.shard_size
    return {
        "candidates_per_second": candidates / wall,
        "aim_per_second": AIM_PER_SECOND,
        "wall_over_forwards": wall / (forwards * picture),
        "aim_ratio": AIM_RATIO,
        "drawing_seconds": wall,
        "candidates": candidates,
        "accepted": accepted / candidates,
        "forwards_per_candidate": forwards / candidates,
        "bare_pictures_per_second": 1 / picture,
        "batch": config.batch,
        "shard": config.shard_size,
        "setting": str(setting),
        "cudnn_allows_tf32": torch.backends.cudnn.allow_tf32,
    }


def profiled(generator: Generator, config: SampleConfig, task: Task) -> dict[str, Any]:
    """Say which operations a shard spends its time in, by the device's clock and by the CPU's."""
    kinds = [ProfilerActivity.CPU]
    if task.device.type == "cuda":
        kinds.append(ProfilerActivity.CUDA)
    with profile(activities=kinds) as recorded:
        draw_shards(generator, [(some_directions(generator, 1)[0], config)], 0)
    # Kernels have averages of their own; operations of the CPU know the time of theirs.
    averages = [each for each in recorded.key_averages() if each.device_type == DeviceType.CPU]
    sums = {}
    for clock in ("device", "cpu"):
        spent = {each.key: getattr(each, f"self_{clock}_time_total") for each in averages}
        calls = {each.key: each.count for each in averages}
        whole = sum(spent.values())
        sums[f"{clock}_ms"] = whole / 1e3
        largest = {
            key[:100]: {"ms": spent[key] / 1e3, "share": spent[key] / whole, "calls": calls[key]}
            for key in sorted(spent, key=lambda key: -spent[key])[:SHOWN]
            if spent[key] > 0
        }
        if largest:
            task.findings.add({f"profile by the {clock}'s clock": largest})
    return sums
