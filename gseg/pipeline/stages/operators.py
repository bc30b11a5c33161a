"""The stage that fits colour maps to a direction, for masks by Eq. (5) of Voynov et al. 2021."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from gseg.directions import AffineConfig, Direction, fit_operators
from gseg.generators import cached_generator
from gseg.generators.identity import weights_digest
from gseg.pipeline.costs import operators_seconds
from gseg.pipeline.graph import Node, Stage, Workshop
from gseg.samples import SampleConfig
from gseg.storage.store import Artifact, Cost, bring_here, canonical


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
        return Cost(seconds=operators_seconds(self.generator, self.affine, self.device))

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


def with_operators(
    generator: str, direction: Node[Artifact], samples: SampleConfig, device: str
) -> Node[Artifact]:
    """Give the direction that samples are drawn with: with colour maps, if their masks need them.

    Args:
        generator: Catalogue name.
        direction: A node of directions.
        samples: Its mask kind decides; the maps are fitted for its length of shift.
        device: Kind of device.
    """
    if samples.mask_kind != "affine":
        return direction
    return OperatorsNode(
        generator=generator,
        direction=direction,
        affine=AffineConfig(seed=samples.seed),
        epsilon=samples.epsilon,
        device=device,
    )
