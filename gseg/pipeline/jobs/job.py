"""The forms of heavy work, who does it, and how a process that computes is set up.

A `Job` has parts, which any process does in any order to the same bits: drawing, scoring, taking
features. A `Training` is one piece that takes up what an interrupted call left. Both name files
in the storage instead of holding tensors, so that they run in the trial's process, in an actor of
a pool or in a Ray Train worker alike.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import torch

from gseg.generators.catalogue import use_weights
from gseg.pipeline.progress import Report

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Listen = Callable[[int], None]
"""Hears how many units (pictures, candidates) more are done."""
Wrap = Callable[[torch.nn.Module], torch.nn.Module]
"""What makes several replicas one; see `gseg.segmenters.fit.Run`."""

_KEPT_BYTES: Final = 2**29
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


class Job(Protocol[T_co]):
    """Work in parts: a frozen dataclass that processes elsewhere can be sent."""

    @property
    def device(self) -> str:
        """Kind of device."""
        ...

    def missing(self) -> Sequence[int]:
        """Number the parts that are still to do."""
        ...

    def size(self, part: int) -> int:
        """Count the units of a part."""
        ...

    def seconds(self, parts: Sequence[int]) -> float:
        """Estimate one-thread seconds: they decide where the parts are done."""
        ...

    def useful(self, parts: Sequence[int]) -> int:
        """Say how many processes can be of use."""
        return len(parts)

    def open(self) -> Callable[[int, Listen], T_co]:
        """Make ready, once in each process that works: gives what does a part, by its number."""
        ...

    def alone(self, parts: Sequence[int], listen: Listen) -> Mapping[int, T_co]:
        """Do parts in this process, where no other works on them.

        Returns:
            What came out, by part; less of them where a job does better in larger pieces.
        """
        do = self.open()
        return {part: do(part, listen) for part in parts}


class Training(Protocol):
    """Long work of one piece, which goes on where an interrupted call was."""

    @property
    def folder(self) -> Path:
        """What it writes, and what an interrupted call left."""
        ...

    @property
    def replicas(self) -> int:
        """Processes that train together."""
        ...

    def seconds(self) -> float:
        """Estimate its one-thread seconds: they decide where it is done."""
        ...

    def train(
        self, report: Report, *, rank: int = 0, wrap: Wrap | None = None
    ) -> Mapping[str, Any]:
        """Train and give facts for the manifest; of several replicas, that of rank 0 writes."""
        ...


class Backend(Protocol):
    """Where work is done."""

    @property
    def device(self) -> str:
        """Kind of device of every job."""
        ...

    def call(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do work that is too short for a job of its own, where there is such a device.

        It writes files and gives facts for the manifest, as a training does.
        """
        ...

    def train(self, job: Training, report: Report) -> Mapping[str, Any]:
        """Train; the report hears of the steps, or elsewhere of the measurements alone."""
        ...

    def run(self, job: Job[T], parts: Sequence[int], listen: Listen) -> dict[int, T]:
        """Do parts of a job, in any order, and give what came out of each; see `Job.alone`.

        Raises:
            ValueError: What the job says is wrong, in its own words.
        """
        ...


class LocalBackend:
    """Does work here and now; see `Backend`."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def call(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do short work."""
        return work()

    def train(self, job: Training, report: Report) -> Mapping[str, Any]:
        """Train."""
        return job.train(report)

    def run(self, job: Job[T], parts: Sequence[int], listen: Listen) -> dict[int, T]:
        """Do parts, one after the other."""
        return dict(job.alone(parts, listen))


class HandsOver(LocalBackend):
    """Works in this process, but has another backend do the parts of large jobs.

    Args:
        device: Kind of device.
        start: Gives the other one, when it is needed.
        large: One-thread seconds from which a job is large.
    """

    def __init__(self, device: str, start: Callable[[], Backend], large: float) -> None:
        super().__init__(device)
        self._start, self._large = start, large

    def run(self, job: Job[T], parts: Sequence[int], listen: Listen) -> dict[int, T]:
        """Do parts, or hand them over."""
        if not parts or job.seconds(parts) < self._large:
            return super().run(job, parts, listen)
        return self._start().run(job, parts, listen)


def run_missing(
    job: Job[T], total: int, backend: Backend, progress: Callable[[int, int], object]
) -> dict[int, T]:
    """Do the parts of a job that are missing.

    Args:
        job: The job.
        total: Its units, those that are there included.
        backend: Who works.
        progress: Called with units done and units in all, at once and whenever there are more.

    Returns:
        What came out of each part.
    """
    parts = job.missing()
    done = total - sum(map(job.size, parts))

    def listen(units: int) -> None:
        nonlocal done
        done += units
        progress(done, total)

    listen(0)  # what was there already is told at once
    return backend.run(job, parts, listen)


def require_device(device: str) -> None:
    """Make sure that there is a GPU where ``--device`` asks for one.

    Raises:
        ValueError: There is none.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"--device {device}, but PyTorch finds no GPU on this machine: leave --device out."
        )


def prepare_process(threads: int, weights: Path | None = None, folder: Path | None = None) -> None:
    """Set up a process that computes and does nothing else.

    Args:
        threads: Of PyTorch, in the calling thread. Bits depend on it, so it never follows from the
            machine.
        weights: Folder of published weights, from `weights_folder` of the process that this one
            works for; None for that of the environment.
        folder: Where that process works: code of the user's own may name files from there. On a
            machine without it this one stays where it is; full names alone mean anything then.
    """
    if folder is not None:
        with suppress(OSError):
            os.chdir(folder)
    # PyTorch keeps this number for each thread that calls it, not for the process.
    torch.set_num_threads(threads)
    use_weights(weights)
    if sys.platform == "linux":
        # Memory that was freed stays with the process, up to 512 MiB, instead of going back to the
        # system and coming again, page by page, with the next batch: a fifth of the time in which
        # features are taken, a tenth of a search for a direction. Other C libraries ignore it.
        for option in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)(option, _KEPT_BYTES)
