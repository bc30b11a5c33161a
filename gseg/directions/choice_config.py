"""Settings of a choice among candidate directions."""

import math
from dataclasses import dataclass, field, replace

from gseg.directions.affine_config import AffineConfig
from gseg.directions.candidate_config import CandidateConfig
from gseg.directions.config import CHOICE_RULES, ChoiceRule, DirectionWay, SearchConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceConfig:
    """Settings of a choice. The defaults are the paper's, but for the start of the maps.

    Attributes:
        candidates: Which directions there are to choose from.
        rule: The rule by which it was chosen, see `gseg.directions.choosing`.
        epsilon: Length ε > 0 of the latent shift that the choice looks at.
        keep: Share of the candidates that rule ``voynov2021`` keeps for their restoration loss.
        least_share: Share of the pixels that each of the two maps must take for rule
            ``voynov2021``; 0 for the paper's words.
        affine: How maps are fitted; `gseg.directions.affine_preset` has the paper's.
        pictures: Originals that all fits see; 0 for fresh ones in every step, as in the paper,
            which costs as many forward passes as there are steps.
    """

    candidates: CandidateConfig = field(default_factory=CandidateConfig)
    rule: ChoiceRule = "voynov2021"
    epsilon: float = 5.0
    keep: float = 0.7
    least_share: float = 0.05
    affine: AffineConfig = field(default_factory=AffineConfig)
    pictures: int = 0

    def __post_init__(self) -> None:
        if self.rule not in CHOICE_RULES:
            raise ValueError(f"Unknown rule {self.rule!r}; expected one of: {CHOICE_RULES}.")
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise ValueError(f"epsilon must be a positive number, got {self.epsilon}.")
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep is a share in (0, 1], got {self.keep}.")
        if not 0 <= self.least_share < 0.5:
            raise ValueError(f"least_share is in [0, 0.5), got {self.least_share}.")
        if self.affine.maps != 2:
            raise ValueError(f"A choice fits two maps, got maps={self.affine.maps}.")
        if self.pictures < 0:
            raise ValueError(f"pictures must be 0 or more, got {self.pictures}.")

    @property
    def way(self) -> DirectionWay:
        """How the direction is found: by which rule it is chosen."""
        return self.rule

    @property
    def seed(self) -> int:
        """Seed of the pictures that maps are fitted to."""
        return self.affine.seed

    def with_seed(self, seed: int) -> "ChoiceConfig":
        """Give the same settings with another seed for candidates and pictures."""
        return replace(
            self,
            candidates=replace(self.candidates, seed=seed),
            affine=replace(self.affine, seed=seed),
        )


DirectionConfig = SearchConfig | ChoiceConfig
"""How a direction is found: optimised, or chosen among candidates."""
