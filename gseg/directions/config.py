"""Settings of a search for a direction, and those that each source used."""

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from gseg.directions.objective import ObjectiveName, objective

ChoiceRule = Literal["voynov2021", "affine_ratio"]
CHOICE_RULES: Final[tuple[ChoiceRule, ...]] = get_args(ChoiceRule)
DirectionWay = Literal["optimised", "voynov2021", "affine_ratio"]
"""How directions are found: optimised (Melas-Kyriazi et al. 2022), or chosen by a rule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """Settings of a search. The defaults are those of `search_preset("gseg")`.

    Attributes:
        objective: Preset of the losses that the direction minimises, see
            `gseg.directions.objective`.
        contrast_weight: Weight λ > 0 of the contrast loss, comparable only within one objective.
        epsilon: Length ε > 0 of the latent shift while the direction is searched; its mean where
            epsilon_std is positive.
        epsilon_std: Standard deviation of ε, drawn for every coordinate of every latent.
        epsilon_min: Lower bound of a drawn ε.
        steps: Updates of an optimised direction by Adam.
        learning_rate: Learning rate of an optimised direction.
        batch: Latents in an update of an optimised direction.
        centre_prior: Whether the contrast loss expects the foreground in the centre; otherwise the
            prior-free form.
        seed: Seed of the direction's start and latents.
    """

    objective: ObjectiveName = "gseg"
    contrast_weight: float = 5.0
    epsilon: float = 1.0
    epsilon_std: float = 0.0
    epsilon_min: float = 0.1
    steps: int = 100
    learning_rate: float = 0.05
    batch: int = 32
    centre_prior: bool = True
    seed: int = 0

    def with_seed(self, seed: int) -> "SearchConfig":
        """Give the same settings with another seed."""
        return replace(self, seed=seed)

    @property
    def way(self) -> DirectionWay:
        """How the direction is found: optimised, or chosen among candidates by a rule."""
        return "optimised"

    def __post_init__(self) -> None:
        objective(self.objective)
        for name in ("contrast_weight", "epsilon", "epsilon_min", "learning_rate"):
            _positive(name, getattr(self, name))
        for name in ("steps", "batch"):
            _at_least_one(name, getattr(self, name))
        if not (math.isfinite(self.epsilon_std) and self.epsilon_std >= 0):
            raise ValueError(f"epsilon_std must be 0 or more, got {self.epsilon_std}.")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed}.")


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        why = (
            " λ is positive for both directions: the darker one is searched along with the lighter."
            if name == "contrast_weight"
            else ""
        )
        raise ValueError(f"{name} must be a positive number, got {value}.{why}")


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")


_PRESETS: Final[dict[str, SearchConfig]] = {
    # Section 4.1 and B.1; the text states no batch size: the program's.
    "melas2022_text": SearchConfig(
        objective="melas2022_text", contrast_weight=5.0, epsilon=2.0, steps=1000
    ),
    # src/config/optimize.yaml of the official program and the weights in its README.
    "melas2022_program": SearchConfig(
        objective="melas2022_program",
        contrast_weight=2.0,
        epsilon=2.0,
        epsilon_std=0.5,
        steps=300,
        learning_rate=0.005,
    ),
    "gseg": SearchConfig(),
}


def search_preset(name: ObjectiveName) -> SearchConfig:
    """Give the settings that belong to an objective in its source.

    Args:
        name: One of `gseg.directions.objective.OBJECTIVE_NAMES`.

    Returns:
        A config; change single fields with `dataclasses.replace`.

    Raises:
        ValueError: The name is unknown.
    """
    objective(name)
    return _PRESETS[name]
