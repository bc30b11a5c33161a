"""The stage that finds a generator's lighter and darker direction."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from gseg.artifacts import Artifact, Store
from gseg.directions import SearchConfig, search_direction
from gseg.directions.ratio import score_directions
from gseg.directions.objective import objective
from gseg.generators.identity import weights_digest
from gseg.jobs import Backend, cached_generator
from gseg.progress import Report

_VERSION: Final = 1


def make_direction(
    store: Store, generator: str, config: SearchConfig, backend: Backend, report: Report
) -> Artifact:
    """Find a generator's lighter and darker direction.

    Args:
        store: Where it is or will be.
        generator: Catalogue name.
        config: How to search.
        backend: Whose device searches.
        report: Hears of the steps.

    Returns:
        An artifact whose folder `Direction.load` reads; facts: final losses, ``cosine``,
        ``two_affine_ratio``.
    """
    device = backend.device

    def build(folder: Path) -> dict[str, Any]:
        model = cached_generator(generator, device)
        found = search_direction(
            model, config, progress=lambda done, total: report("direction", done, total)
        )
        found.save(folder)
        vectors = found.lighter[None].to(model.device)
        ratio = score_directions(model, vectors, epsilon=config.epsilon, seed=config.seed)
        return {
            "losses": found.provenance["final_losses"],
            "cosine": found.cosine,
            "two_affine_ratio": float(ratio[0]),
        }

    return store.make(
        "direction",
        version=_VERSION,
        config={
            "generator": generator,
            "search": asdict(config),
            "edge_weight": objective(config.objective).edge_weight,
            "device": device,
        },
        parents=[weights_digest(generator)],
        build=lambda folder: backend.call(lambda: build(folder)),
        device=device,
    )
