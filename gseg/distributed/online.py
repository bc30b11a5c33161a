"""Training straight from generators in other processes: actors draw, nothing is stored."""

from pathlib import Path
from typing import Any

import ray

from gseg.directions import Direction
from gseg.generators.catalogue import weights_folder
from gseg.pipeline.devices import prepare_process
from gseg.pipeline.jobs.draw import sampled_generator
from gseg.samples import SampleConfig, Shard, draw_shard
from gseg.storage.store import bring_here


class ActorShards:
    """Shards that a pool of actors draws, those that come next beforehand.

    For `gseg.segmenters.online.drawn_pairs`.

    Args:
        generator: Catalogue name.
        direction: Folder of the direction.
        config: How to draw.
        actors: Processes that draw.
        device: Kind of device.
        gpus: GPUs of each; fractions share one.
        ahead: Shards that each actor draws beforehand.
    """

    def __init__(
        self,
        generator: str,
        direction: Path,
        config: SampleConfig,
        *,
        actors: int,
        device: str = "cpu",
        gpus: float = 0.0,
        ahead: int = 2,
    ) -> None:
        kind = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=-1, max_task_retries=-1)(_Drawer)
        self._actors: list[Any] = [
            kind.remote(generator, direction, config, device, weights_folder())
            for _ in range(actors)
        ]
        self._ahead = ahead * actors
        self._coming: dict[int, Any] = {}

    def __call__(self, number: int) -> Shard:
        """Wait for a shard, and have the next ones drawn."""
        for each in range(number, number + self._ahead + 1):
            if each not in self._coming:
                actor = self._actors[each % len(self._actors)]
                self._coming[each] = actor.draw.remote(each)
        for each in [known for known in self._coming if known < number]:
            del self._coming[each]
        shard: Shard = ray.get(self._coming[number])
        return shard


class _Drawer:
    """An actor that draws shards."""

    def __init__(
        self,
        generator: str,
        direction: Path,
        config: SampleConfig,
        device: str,
        weights: Path | None,
    ) -> None:
        prepare_process(1, weights)
        self._generator = sampled_generator(generator, device, config.latents)
        self._direction = Direction.load(bring_here(direction))
        self._config = config

    def draw(self, number: int) -> Shard:
        return draw_shard(self._generator, self._direction, self._config, number).as_stored()
