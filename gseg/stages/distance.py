"""The stage that measures the Fréchet distance of a generator's pictures to its data set."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from gseg.artifacts import Artifact, Store
from gseg.experiment import DistanceConfig
from gseg.features import scenes_features
from gseg.generators import Generator
from gseg.generators.identity import weights_digest
from gseg.images import to_uint8
from gseg.jobs import Backend, cached_generator
from gseg.progress import Report
from gseg.randomness import derive_seed, labels, latents
from gseg.scores.fid import Moments, picture_distance, scenes_moments

_VERSION: Final = 1
_BATCH: Final = 250


def make_distance(
    store: Store, generator: str, config: DistanceConfig, backend: Backend, report: Report
) -> Artifact:
    """Measure the Fréchet distance of an embedded generator's pictures to scenes.

    Args:
        store: Where it is or will be.
        generator: Catalogue name of a generator of scenes.
        config: How many pictures.
        backend: Whose device computes.
        report: Hears of the pictures.

    Returns:
        An artifact; facts: ``value`` and ``protocol``.
    """
    device = backend.device

    def build(folder: Path) -> dict[str, Any]:
        extractor = scenes_features(device=device)
        model = cached_generator(generator, device)
        distance = picture_distance(
            _pictures(model, config, report), _reference(config.count), extractor
        )
        return {"value": distance.value, "protocol": distance.protocol}

    return store.make(
        "distance",
        version=_VERSION,
        config={"generator": generator, "distance": asdict(config), "device": device},
        parents=[weights_digest(generator)],
        build=lambda folder: backend.call(lambda: build(folder)),
        device=device,
    )


def _pictures(model: Generator, config: DistanceConfig, report: Report) -> Iterator[Tensor]:
    seed = derive_seed(config.seed, "fid")
    card = model.card
    for start in range(0, config.count, _BATCH):
        rows = range(start, min(start + _BATCH, config.count))
        z = latents(seed, rows, card.latent_dim).to(model.device)
        y = labels(seed, rows, card.num_classes)
        with torch.inference_mode():
            yield to_uint8(model(model.code(z), None if y is None else y.to(model.device))).cpu()
        report("distance", rows.stop, config.count)


@lru_cache(maxsize=2)
def _reference(count: int) -> Moments:
    return scenes_moments(scenes_features(), count=count)
