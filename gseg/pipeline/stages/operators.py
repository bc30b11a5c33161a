"""The stage that fits colour maps to a direction, for masks by Eq. (5) of Voynov et al. 2021."""

from pathlib import Path
from typing import Any, Final

from gseg.directions import AffineConfig, Direction, fit_operators
from gseg.exactness import device_identity
from gseg.generators import cached_generator
from gseg.generators.identity import weights_digest
from gseg.pipeline.costs import operators_seconds
from gseg.pipeline.jobs.job import Backend
from gseg.samples import SampleConfig
from gseg.storage.store import Artifact, Cost, Store, canonical

_VERSION: Final = 1


def with_operators(
    store: Store, generator: str, direction: Artifact, samples: SampleConfig, backend: Backend
) -> Artifact:
    """Give the direction that samples are drawn with: with colour maps, if their masks need them.

    Args:
        store: Where it is or will be.
        generator: Catalogue name.
        direction: From `make_direction`.
        samples: Its mask kind decides; the maps are fitted for its length of shift.
        backend: Whose device works.

    Returns:
        The direction itself, or an artifact with the same direction and its maps; facts:
        ``restoration_loss`` and ``distance``.
    """
    if samples.mask_kind != "affine":
        return direction
    config = AffineConfig(seed=samples.seed)
    device = backend.device

    def build(folder: Path) -> dict[str, Any]:
        model = cached_generator(generator, device)
        fitted = fit_operators(model, Direction.load(direction.folder), samples.epsilon, config)
        fitted.save(folder)
        facts = fitted.provenance["operators"]
        return {name: facts[name] for name in ("restoration_loss", "distance")}

    return store.make(
        "operators",
        version=_VERSION,
        config={
            "generator": generator,
            "affine": canonical(config),
            "epsilon": samples.epsilon,
            "device": device_identity(device),
        },
        parents=[weights_digest(generator), direction.digest],
        build=lambda folder: backend.call(lambda: build(folder)),
        cost=lambda: Cost(seconds=operators_seconds(generator, config, device)),
        device=device,
    )
