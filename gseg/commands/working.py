"""Where the work of a command is done: in this process, or on actors of Ray."""

import argparse
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

from gseg.commands.app import Parser, at_least

if TYPE_CHECKING:
    from gseg.pipeline.jobs.job import Backend


def add_working(parser: Parser) -> None:
    """Add the options that say where the work is done.

    Args:
        parser: Of the command.
    """
    add = parser.add_argument
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where to compute. Default: cpu")
    add(
        "--actors",
        type=at_least(0),
        metavar="N",
        help="processes of Ray that share the work; 0 for as many as there are CPUs or GPUs. "
        "Default: this process works alone, but as with 0 on what takes more than five minutes",
    )
    add(
        "--address",
        metavar="HOST:PORT",
        help="Ray cluster that does the work, or auto. Default: Ray starts here if it is needed",
    )


@contextmanager
def working(options: argparse.Namespace) -> "Iterator[Backend]":
    """Give the backend that the options choose; Ray starts when it is needed.

    Args:
        options: Of `add_working`.

    Yields:
        The backend.

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
            from gseg.distributed.runtime import Resources, ray_session

            gpus = 1.0 if options.device == "cuda" else 0.0
            actors = options.actors or 0
            session.enter_context(ray_session(options.address))
            return RayBackend(Resources(placement="cluster", actors=actors, gpus_per_trial=gpus))

        if options.address:
            yield on_ray()
            return
        require_device(options.device)
        several = (torch.cuda.device_count() if options.device == "cuda" else os.cpu_count()) or 1
        by_itself = LARGE_STAGE_SECONDS if several > 1 else math.inf
        yield HandsOver(options.device, on_ray, by_itself if options.actors is None else 0.0)
