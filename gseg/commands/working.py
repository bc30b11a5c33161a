"""Where the work of a command is done: in this process, or on actors of Ray."""

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from gseg.commands.app import Number, Place

if TYPE_CHECKING:
    from gseg.pipeline.jobs.job import Backend

Device = Literal["cpu", "cuda"]
AnyWeights = Annotated[
    Place | None,
    Parameter(
        help="Folder of published weights, or s3://BUCKET/PREFIX; without it that of the "
        "environment's GSEG_WEIGHTS."
    ),
]


@Parameter(name="*", group=Group("where to compute", sort_key=9))
@dataclass(frozen=True, kw_only=True, slots=True)
class Working:
    """Where the work is done."""

    device: Device = "cpu"
    """Where to compute."""
    actors: Number | None = None
    """Processes of Ray that share the work; 0 for as many as there are CPUs or GPUs. Without it
    this process works alone, but as with 0 on what takes more than five minutes."""
    address: str | None = None
    """Ray cluster that does the work, HOST:PORT or auto. Without it Ray starts here if needed."""

    @contextmanager
    def backend(self) -> "Iterator[Backend]":
        """Give the backend that the options choose; Ray starts when it is needed.

        Raises:
            ValueError: There is no such device, or no cluster at the address.
        """
        import torch

        from gseg.distributed.runtime import LARGE_STAGE_SECONDS
        from gseg.pipeline.jobs.job import HandsOver, require_device

        with ExitStack() as session:

            @cache
            def on_ray() -> "Backend":
                from gseg.distributed.backend import RayBackend
                from gseg.distributed.runtime import Resources
                from gseg.distributed.session import ray_session

                gpus = 1.0 if self.device == "cuda" else 0.0
                actors = self.actors or 0
                session.enter_context(ray_session(self.address))
                return RayBackend(
                    Resources(placement="cluster", actors=actors, gpus_per_trial=gpus)
                )

            if self.address:
                yield on_ray()
                return
            require_device(self.device)
            several = (torch.cuda.device_count() if self.device == "cuda" else os.cpu_count()) or 1
            by_itself = LARGE_STAGE_SECONDS if several > 1 else math.inf
            yield HandsOver(self.device, on_ray, by_itself if self.actors is None else 0.0)


HERE = Working()
"""This process, on the CPU."""
