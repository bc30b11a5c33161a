"""The stages of directions: candidates, the lighter and darker one, and its colour maps.

A direction is optimised (Melas-Kyriazi et al. 2022) or chosen among candidates (Voynov et al.
2021, whose Eq. (5) needs the colour maps).
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final

from gseg.directions.affine import fit_operators
from gseg.directions.candidates import load_candidates
from gseg.directions.choosing import choose_direction, save_choice, score_candidates
from gseg.directions.config import (
    AffineConfig,
    CandidateConfig,
    ChoiceConfig,
    DirectionConfig,
    SearchConfig,
)
from gseg.directions.direction import Direction
from gseg.directions.objective import objective
from gseg.directions.search import search_direction
from gseg.generators.catalogue import cached_generator
from gseg.generators.contract import Generator
from gseg.generators.weights import weights_digest
from gseg.pipeline import costs
from gseg.pipeline.graph import Node, Stage, Workshop
from gseg.pipeline.jobs.train import LearnJob
from gseg.pipeline.progress import Report
from gseg.samples.config import SampleConfig
from gseg.samples.masks import MASKS
from gseg.samples.thresholds import CHOSEN_FROM, choose_threshold
from gseg.storage.checksums import file_digest
from gseg.storage.digests import canonical
from gseg.storage.store import Artifact, Cost, bring_here

_SCORED_PICTURES: Final = 64


@dataclass(frozen=True, kw_only=True)
class CandidatesNode(Stage):
    """A set of candidate directions, which `gseg.directions.candidates.load_candidates` reads.

    Its facts: ``count``, and ``accuracy`` of learnt ones.

    Attributes:
        generator: Catalogue name.
        candidates: Which set.
    """

    stage: ClassVar[str] = "candidates"
    word: ClassVar[str] = "candidate set"

    generator: str
    candidates: CandidateConfig

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        return {"generator": self.generator, "candidates": canonical(self.candidates)}

    def parents(self, shop: Workshop) -> Sequence[str]:
        return [weights_digest(self.generator)]

    def cost(self, shop: Workshop) -> Cost:
        return Cost(seconds=costs.candidates_seconds(self.generator, self.candidates, self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Make the candidates; an unfinished training is taken up."""
        job = LearnJob(
            generator=self.generator, config=self.candidates, folder=folder, device=self.device
        )
        # A training may go to a cluster and is taken up where it was; the others are short.
        if self.candidates.learnt is None:
            return shop.backend.call(partial(job.train, shop.report_here))
        return shop.backend.train(job, shop.report)


@dataclass(frozen=True, kw_only=True)
class DirectionNode(Stage):
    """A generator's lighter and darker direction, which `Direction.load` reads.

    Its facts: ``losses`` at the end of a search, ``cosine``, ``two_affine_ratio``,
    ``restoration_loss`` and ``distance`` of the affine maps, and ``candidates_seconds``, what
    making candidates took.

    Attributes:
        generator: Catalogue name.
        search: How to search, or from what and how to choose.
    """

    stage: ClassVar[str] = "direction"

    generator: str
    search: DirectionConfig

    @property
    def candidates(self) -> CandidatesNode | None:
        """What the direction is chosen from; None for one that is optimised."""
        if not isinstance(self.search, ChoiceConfig):
            return None
        return CandidatesNode(
            generator=self.generator, candidates=self.search.candidates, device=self.device
        )

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        told = {"generator": self.generator}
        if isinstance(self.search, ChoiceConfig):
            return {**told, "choice": canonical(self.search)}
        # The preset's name alone would keep old directions after its weight has changed.
        weight = objective(self.search.objective).edge_weight
        return {**told, "search": canonical(self.search), "edge_weight": weight}

    def parents(self, shop: Workshop) -> Sequence[Node[Artifact] | str]:
        weights, candidates = weights_digest(self.generator), self.candidates
        # The weights by content: a catalogue name may come to mean others.
        return [weights] if candidates is None else [weights, candidates]

    def cost(self, shop: Workshop) -> Cost:
        search = self.search
        if isinstance(search, ChoiceConfig):
            return Cost(seconds=costs.choosing_seconds(self.generator, search, self.device))
        steps, batch = search.steps, search.batch
        return Cost(seconds=costs.direction_seconds(self.generator, steps, batch, self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Search or choose."""
        if self.candidates is None:
            return shop.backend.call(partial(self._search, folder, shop.report_here))
        made = shop.make(self.candidates)
        choose = partial(self._choose, folder, made.folder, shop.report_here)
        # Rows tell what a direction cost in all, and candidates are an artifact of their own.
        return {**shop.backend.call(choose), "candidates_seconds": made.seconds}

    def _search(self, folder: Path, report: Report) -> Mapping[str, Any]:
        assert isinstance(self.search, SearchConfig)
        model = cached_generator(self.generator, self.device)
        found = search_direction(
            model, self.search, progress=lambda done, total: report("direction", done, total)
        )
        found.save(folder)
        return {
            "losses": found.provenance["final_losses"],
            "cosine": found.cosine,
            **_explained(model, found, self.search),
        }

    def _choose(self, folder: Path, candidates: Path, report: Report) -> Mapping[str, Any]:
        assert isinstance(self.search, ChoiceConfig)
        choice = choose_direction(
            cached_generator(self.generator, self.device),
            load_candidates(bring_here(candidates)),
            self.search,
            progress=lambda done, total: report("direction", done, total),
        )
        save_choice(folder, choice, self.search)
        facts = choice.direction.provenance
        names = ("number", "border_vote", "restoration_loss", "distance", "two_affine_ratio")
        return {
            "losses": {},  # nothing was optimised
            "cosine": choice.direction.cosine,
            **{name: facts[name] for name in names},
        }


@dataclass(frozen=True, kw_only=True)
class GivenDirection(Stage):
    """A direction from elsewhere, under the name of its content.

    Attributes:
        given: Folder that `Direction.save` wrote, or the folder of a finished direction.
    """

    stage: ClassVar[str] = "direction"

    given: Path

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        """Give the settings that name it.

        Raises:
            ValueError: The folder holds no direction.
        """
        file = self.given / "direction.safetensors"
        if not file.is_file():
            raise ValueError(
                f"{self.given} holds no direction.safetensors: give a folder that Direction.save "
                "wrote, such as direction/<hash> of a storage."
            )
        Direction.load(self.given)  # before anything is made with it
        return {"given": file_digest(file)}

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Copy it."""
        folder.mkdir(parents=True, exist_ok=True)
        for each in self.given.glob("*"):
            # The store writes a manifest of its own; a lease was its maker's.
            if each.is_file() and each.name not in ("manifest.json", "lease.json"):
                shutil.copyfile(each, folder / each.name)
        return {}


@dataclass(frozen=True, kw_only=True)
class OperatorsNode(Stage):
    """A direction with its colour maps; facts: ``restoration_loss`` and ``distance``.

    Attributes:
        generator: Catalogue name.
        direction: What the maps are fitted to.
        affine: How.
        epsilon: Length of the shift that they are fitted for.
    """

    stage: ClassVar[str] = "operators"
    word: ClassVar[str] = "colour-map fit"

    generator: str
    direction: Node[Artifact]
    affine: AffineConfig
    epsilon: float

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        return {
            "generator": self.generator,
            "affine": canonical(self.affine),
            "epsilon": self.epsilon,
        }

    def parents(self, shop: Workshop) -> Sequence[Node[Artifact] | str]:
        return [weights_digest(self.generator), self.direction]

    def cost(self, shop: Workshop) -> Cost:
        return Cost(seconds=costs.operators_seconds(self.generator, self.affine, self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Fit the maps."""
        return shop.backend.call(partial(self._fit, folder, shop.make(self.direction).folder))

    def _fit(self, folder: Path, direction: Path) -> Mapping[str, Any]:
        model = cached_generator(self.generator, self.device)
        found = Direction.load(bring_here(direction))
        fitted = fit_operators(model, found, self.epsilon, self.affine)
        fitted.save(folder)
        facts = fitted.provenance["operators"]
        return {name: facts[name] for name in ("restoration_loss", "distance")}


@dataclass(frozen=True, kw_only=True)
class ThresholdNode(Stage):
    """A direction with the threshold chosen for its masks.

    Its facts: ``chosen``, ``ratios`` and ``shares`` of the candidates.

    Attributes:
        generator: Catalogue name.
        direction: What the masks are made with.
        samples: Kind, rule and length of shift of the masks; the rest changes nothing.
    """

    stage: ClassVar[str] = "threshold"
    word: ClassVar[str] = "choice of a threshold"

    generator: str
    direction: Node[Artifact]
    samples: SampleConfig

    def config(self, shop: Workshop) -> Mapping[str, Any]:
        names = ("mask_kind", "mask_rule", "epsilon")
        return {"generator": self.generator, **{n: getattr(self.samples, n) for n in names}}

    def parents(self, shop: Workshop) -> Sequence[Node[Artifact] | str]:
        return [weights_digest(self.generator), self.direction]

    def cost(self, shop: Workshop) -> Cost:
        return Cost(seconds=costs.draw_seconds(self.generator, CHOSEN_FROM, self.device))

    def build(self, folder: Path, shop: Workshop) -> Mapping[str, Any]:
        """Choose."""
        return shop.backend.call(partial(self._choose, folder, shop.make(self.direction).folder))

    def _choose(self, folder: Path, direction: Path) -> Mapping[str, Any]:
        model = cached_generator(self.generator, self.device)
        chosen = choose_threshold(model, Direction.load(bring_here(direction)), self.samples)
        chosen.save(folder)
        facts: Mapping[str, Any] = chosen.provenance["mask_threshold"]
        return facts


def prepared_direction(
    generator: str, direction: Node[Artifact], samples: SampleConfig, device: str
) -> Node[Artifact]:
    """Give the direction that samples are drawn with, with all that their masks need.

    Args:
        generator: Catalogue name.
        direction: A node of directions.
        samples: Its mask kind decides on colour maps, which are fitted for its length of shift;
            its threshold, whether one is chosen.
        device: Kind of device.
    """
    if samples.mask_threshold == "choose":
        return ThresholdNode(
            generator=generator, direction=direction, samples=samples, device=device
        )
    # A node of its own: the direction is shared by all mask kinds, and most need no maps.
    if not MASKS[samples.mask_kind].fitted:
        return direction
    return OperatorsNode(
        generator=generator,
        direction=direction,
        affine=AffineConfig(seed=samples.seed),
        epsilon=samples.epsilon,  # of the masks, whatever that of the search was
        device=device,
    )


def _explained(model: Generator, found: Direction, config: SearchConfig) -> dict[str, float]:
    """Measure how well affine maps explain an optimised direction."""
    # A chosen one among one: it is scored as those that are chosen are, and rows compare the two.
    scores = score_candidates(
        model,
        found.lighter[None],
        ChoiceConfig(
            epsilon=config.epsilon, affine=AffineConfig(seed=config.seed), pictures=_SCORED_PICTURES
        ),
    )
    return {
        "two_affine_ratio": float(scores.ratios[0]),
        "restoration_loss": float(scores.two.losses[0]),
        "distance": float(scores.two.distances[0]),
    }
