"""What a sweep says before and after its trials: the plan, what failed, what is left."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import torch
from rich.console import Console

from gseg.commands.app import WRONG_USE
from gseg.commands.control import Control
from gseg.distributed.runtime import Resources
from gseg.distributed.view import format_seconds
from gseg.pipeline.experiment import Experiment
from gseg.pipeline.failures import Failed
from gseg.pipeline.plan import SweepPlan
from gseg.pipeline.trial import stage_words
from gseg.storage.store import StorageError

_FILE_WIDTH: Final = 200
"""Columns of tables that go to a file or a pipe."""
_INTERRUPTED: Final = 130


def run_told(run: Callable[[Console], int]) -> int:
    """Run what a sweep's command does; a user's mistake and an interruption are told in a line.

    Args:
        run: Gets the console to print to, and gives the exit status.

    Returns:
        That status; 2 for wrong use, 130 if interrupted.
    """
    width = None if sys.stdout.isatty() else _FILE_WIDTH
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, width=width)
    try:
        return run(console)
    except (ValueError, StorageError) as error:
        Console(stderr=True, highlight=False).print(str(error), markup=False, soft_wrap=True)
        return WRONG_USE
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on from here.")
        return _INTERRUPTED


def plan_lines(plan: SweepPlan, device: str, slots: int | None) -> list[str]:
    """Say what will be done, and what it takes.

    Args:
        plan: Of the trials to run.
        device: Kind of device of their stages.
        slots: Trials that run at the same time on this machine; None on a cluster, which may grow.

    Returns:
        A line about the stages and one about time, GPUs and disk.
    """
    kinds = sorted(plan.stages.items(), key=lambda item: item[0] == "scores")  # they come last
    named = stage_words()
    words = {named.get(kind, kind): count for kind, count in kinds}
    stages = ", ".join(
        f"{count} {word}s" if count != 1 else f"1 {word}" for word, count in words.items()
    )
    distinct = sum(plan.stages.values())
    return [
        f"to do: {stages}: {distinct} stages, {plan.naive_stages} if nothing were shared",
        f"estimate: {_time(plan, device, slots)}, {plan.disk_bytes / 2**20:,.0f} MiB of samples",
    ]


def _time(plan: SweepPlan, device: str, slots: int | None) -> str:
    if device == "cuda":
        said = [
            f"{plan.seconds / 3600:,.2f} GPU-hours ({format_seconds(plan.seconds)} of GPU time)"
        ]
    else:
        said = [f"{format_seconds(plan.seconds)} of one-thread time", "no GPU-hours"]
    if slots is not None and plan.estimates:
        wall = max(plan.seconds / slots, *plan.estimates)
        said.insert(1, f"about {format_seconds(wall)} with {slots} at a time")
    return ", ".join(said)


def slots_here(resources: Resources, cpus: int, trials: int) -> int:
    """Say how many trials run at the same time on this machine.

    Args:
        resources: What each holds.
        cpus: Of Ray.
        trials: That there are.
    """
    fits = int(cpus / resources.cpus_per_trial)
    if resources.gpus_per_trial:
        fits = min(fits, int(torch.cuda.device_count() / resources.gpus_per_trial))
    return max(1, min(resources.concurrency or fits, trials))


def earlier_failure(failed: Failed) -> Failed:
    """Describe the failure of a trial that is not run, since it failed before."""
    again = "(an earlier run; --retry-failed runs it again)"
    return replace(failed, reason=f"{failed.reason} {again}")


def failure_line(experiment: Experiment, failed: Failed) -> str:
    """Say in one line which trial failed and why."""
    details = f" (details: {failed.details})" if failed.details else ""
    return f"failed: {experiment.label}: {failed.reason}{details}"


def left_line(left: Sequence[Experiment], estimates: Sequence[float], control: Control) -> str:
    """Say what a sweep has left, and why.

    Args:
        left: Trials that are neither finished nor failed.
        estimates: Seconds of each.
        control: The limits.
    """
    limits = []
    if control.max_trials is not None:
        limits.append(f"--max-trials {control.max_trials}")
    if control.max_hours is not None:
        limits.append(f"--max-hours {control.max_hours:g}")
    trials = f"{len(left)} trial{'s are' if len(left) != 1 else ' is'} left"
    return (
        f"{trials} ({' and '.join(limits)}), estimated at {format_seconds(sum(estimates))}: "
        "the same command goes on with them"
    )
