"""The forms of heavy work, and who does it.

A `Job` has parts, which any process does in any order to the same bits: drawing, scoring, taking
features. A `Training` is one piece that takes up what an interrupted call left. Both name files
in the storage instead of holding tensors, so that they run in the trial's process, in an actor of
a pool or in a Ray Train worker alike.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch

from gseg.pipeline.progress import Report
from gseg.storage.mirror import discard, exists

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Listen = Callable[[int], None]
"""Hears how many units (pictures, candidates) more are done."""
Wrap = Callable[[torch.nn.Module], torch.nn.Module]


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
        """Make ready, once in each process that works.

        Returns:
            What does a part, by its number.
        """
        ...

    def alone(self, parts: Sequence[int], listen: Listen) -> Mapping[int, T_co]:
        """Do parts in this process, where no other works on them.

        Args:
            parts: Their numbers.
            listen: Hears of the units.

        Returns:
            What came out, by part; less of them where a job does better in larger pieces.
        """
        do = self.open()
        return {part: do(part, listen) for part in parts}


class RangesJob(Job[None], Protocol):
    """A job whose parts are ranges of pictures, each a file: what is there is not made again."""

    total: int
    folder: Path

    @property
    def part_size(self) -> int:
        """Pictures of a part."""
        ...

    @property
    def parts(self) -> range:
        """Numbers of all parts."""
        return range(math.ceil(self.total / self.part_size))

    def missing(self) -> list[int]:
        """Number the parts whose files are not there yet."""
        return [part for part in self.parts if not exists(self.path(part))]

    def path(self, part: int) -> Path:
        """Name the file of a part."""
        return self.folder / f"part-{part:05d}.npz"

    def rows(self, part: int) -> range:
        """Number the pictures of a part."""
        return range(part * self.part_size, min((part + 1) * self.part_size, self.total))

    def size(self, part: int) -> int:
        """Count the pictures of a part."""
        return len(self.rows(part))

    def clear(self) -> None:
        """Remove the files."""
        for part in self.parts:
            discard(self.path(part))


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
        """Train, and write files.

        Args:
            report: Hears of the steps.
            rank: Which replica this process is; the first one writes.
            wrap: What makes several replicas one; see `gseg.segmenters.fit.Run`.

        Returns:
            Facts for the manifest.
        """
        ...


class Backend(Protocol):
    """Where work is done."""

    @property
    def device(self) -> str:
        """Kind of device of every job."""
        ...

    def call(self, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do work that is too short for a job of its own, where there is such a device.

        Args:
            work: Writes files and returns facts for the manifest.

        Returns:
            Those facts.
        """
        ...

    def train(self, job: Training, report: Report) -> Mapping[str, Any]:
        """Train.

        Args:
            job: What.
            report: Hears of the steps, or elsewhere of the measurements alone.

        Returns:
            Facts for the manifest.
        """
        ...

    def run(self, job: Job[T], parts: Sequence[int], listen: Listen) -> dict[int, T]:
        """Do parts of a job, in any order.

        Args:
            job: Of which.
            parts: Their numbers.
            listen: Hears of the units.

        Returns:
            What came out, by part; see `Job.alone`.

        Raises:
            ValueError: What the job says is wrong, in its own words.
        """
        ...


def run_missing(
    job: Job[T],
    total: int,
    backend: Backend,
    progress: Callable[[int, int], object],
    *,
    at_once: bool = False,
) -> dict[int, T]:
    """Do the parts of a job that are missing.

    Args:
        job: The job.
        total: Its units, those that are there included.
        backend: Who works.
        progress: Called with units done and units in all, whenever there are more.
        at_once: Whether it is called before there are more, too.

    Returns:
        What came out of each part.
    """
    parts = job.missing()
    done = total - sum(map(job.size, parts))

    def listen(units: int) -> None:
        nonlocal done
        done += units
        progress(done, total)

    if at_once:
        listen(0)
    return backend.run(job, parts, listen)
