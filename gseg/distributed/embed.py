"""Finding the latents of many pictures on Ray Data actors."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import ray
import ray.data

from gseg.distributed.runtime import LARGE_STAGE_SECONDS
from gseg.pipeline.devices import prepare_process
from gseg.pipeline.jobs.embed import EmbedHere, EmbedJob

_ACTOR_CPUS: Final = 0.9
_PICTURE_SECONDS: Final = 5e-3
"""Reading and encoding a photograph: decoding it takes most of that."""


def is_large(pictures: int) -> bool:
    """Decide whether so many pictures are worth starting actors."""
    return pictures * _PICTURE_SECONDS >= LARGE_STAGE_SECONDS


class EmbedOnActors:
    """Finds latents on a pool of actors; see `gseg.pipeline.jobs.embed.Embedder`.

    Args:
        actors: How many; 0 for as many as there are CPUs or GPUs.
        gpus: GPUs of each; fractions share one.
    """

    def __init__(self, actors: int = 0, gpus: float = 0.0) -> None:
        self._actors, self._gpus = actors, gpus

    def embed(self, job: EmbedJob, parts: Sequence[int], listen: Callable[[int], None]) -> None:
        """See `gseg.pipeline.jobs.embed.Embedder`.

        Raises:
            ValueError: A picture cannot be read, or the encoder gives no latents.
        """
        if not parts:
            return
        rows = ray.data.from_items(
            [{"part": part} for part in parts], override_num_blocks=len(parts)
        ).map_batches(
            _Encoder,
            fn_constructor_kwargs={"job": job},
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(len(parts), self._pool())),
            num_cpus=_ACTOR_CPUS,
            num_gpus=self._gpus,
        )
        for row in rows.iter_rows():
            if row["fault"]:
                raise ValueError(row["fault"])
            listen(len(job.rows(int(row["part"]))))

    def _pool(self) -> int:
        if self._actors:
            return self._actors
        available: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        if self._gpus:
            return max(1, int(available.get("GPU", 0.0) / self._gpus))
        return max(1, int(available.get("CPU", 1.0)))


class _Encoder:
    """An actor that finds the latents of one part after the other."""

    def __init__(self, job: EmbedJob) -> None:
        prepare_process(1)
        self._job = job

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        faults = []
        for part in batch["part"]:
            try:
                EmbedHere().embed(self._job, [int(part)], lambda pictures: None)
                faults.append("")
            except ValueError as error:  # a row, as an exception would be taken for the actor's
                faults.append(str(error))
        return {"part": batch["part"], "fault": faults}
