"""The stage that finds a generator's lighter and darker direction, by optimising or choosing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from gseg.directions import (
    AffineConfig,
    ChoiceConfig,
    Direction,
    DirectionConfig,
    SearchConfig,
    choose_direction,
    search_direction,
)
from gseg.directions.candidates import load_candidates
from gseg.directions.choice_files import save_choice
from gseg.directions.choosing import score_candidates
from gseg.directions.objective import objective
from gseg.exactness import device_identity
from gseg.generators import Generator, cached_generator
from gseg.generators.identity import weights_digest
from gseg.pipeline.costs import choosing_seconds, direction_seconds
from gseg.pipeline.jobs.job import Backend
from gseg.pipeline.progress import Report
from gseg.pipeline.stages.candidates import make_candidate_set
from gseg.storage.store import Artifact, Cost, Store, canonical

_VERSION: Final = 1
_SCORED_PICTURES: Final = 64


def make_direction(
    store: Store, generator: str, config: DirectionConfig, backend: Backend, report: Report
) -> Artifact:
    """Find a generator's lighter and darker direction.

    Args:
        store: Where it is or will be.
        generator: Catalogue name.
        config: How to search, or from what and how to choose.
        backend: Whose device searches.
        report: Hears of the steps.

    Returns:
        An artifact whose folder `Direction.load` reads; facts: ``losses`` at the end of a search,
        ``cosine``, ``two_affine_ratio``, ``restoration_loss`` and ``distance`` of the affine maps,
        and ``candidates_seconds``, what making candidates took.
    """
    if isinstance(config, ChoiceConfig):
        return _choose(store, generator, config, backend, report)
    return _search(store, generator, config, backend, report)


def _search(
    store: Store, generator: str, config: SearchConfig, backend: Backend, report: Report
) -> Artifact:
    def build(folder: Path) -> dict[str, Any]:
        model = cached_generator(generator, backend.device)
        found = search_direction(
            model, config, progress=lambda done, total: report("direction", done, total)
        )
        found.save(folder)
        return {
            "losses": found.provenance["final_losses"],
            "cosine": found.cosine,
            **_explained(model, found, config),
        }

    settings = {
        "search": canonical(config),
        "edge_weight": objective(config.objective).edge_weight,
    }

    def seconds() -> float:
        return direction_seconds(generator, config.steps, config.batch, backend.device)

    return _make(store, generator, settings, [], backend, build, seconds)


def _choose(
    store: Store, generator: str, config: ChoiceConfig, backend: Backend, report: Report
) -> Artifact:
    candidates = make_candidate_set(store, generator, config.candidates, backend, report)

    def build(folder: Path) -> dict[str, Any]:
        choice = choose_direction(
            cached_generator(generator, backend.device),
            load_candidates(candidates.folder),
            config,
            progress=lambda done, total: report("direction", done, total),
        )
        save_choice(folder, choice, config)
        facts = choice.direction.provenance
        names = ("number", "border_vote", "restoration_loss", "distance", "two_affine_ratio")
        return {
            "losses": {},
            "cosine": choice.direction.cosine,
            "candidates_seconds": candidates.seconds,
            **{name: facts[name] for name in names},
        }

    def seconds() -> float:
        return choosing_seconds(generator, config, backend.device)

    settings = {"choice": canonical(config)}
    return _make(store, generator, settings, [candidates.digest], backend, build, seconds)


def _make(
    store: Store,
    generator: str,
    settings: dict[str, Any],
    parents: Sequence[str],
    backend: Backend,
    build: Callable[[Path], dict[str, Any]],
    seconds: Callable[[], float],
) -> Artifact:
    return store.make(
        "direction",
        version=_VERSION,
        config={"generator": generator, **settings, "device": device_identity(backend.device)},
        parents=[weights_digest(generator), *parents],
        build=lambda folder: backend.call(lambda: build(folder)),
        cost=lambda: Cost(seconds=seconds()),
        device=backend.device,
    )


def _explained(model: Generator, found: Direction, config: SearchConfig) -> dict[str, float]:
    """Measure how well affine maps explain an optimised direction."""
    scores = score_candidates(
        model,
        found.lighter[None],
        ChoiceConfig(
            epsilon=config.epsilon,
            affine=AffineConfig(seed=config.seed),
            pictures=_SCORED_PICTURES,
        ),
    )
    return {
        "two_affine_ratio": float(scores.ratios[0]),
        "restoration_loss": float(scores.two.losses[0]),
        "distance": float(scores.two.distances[0]),
    }
