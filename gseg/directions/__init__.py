"""Latent directions along which foreground and background part (floor 2).

Two ways find one: `search_direction` optimises it (Melas-Kyriazi et al. 2022), `choose_direction`
picks it from `make_candidates` (Voynov et al. 2021).
"""

from gseg.directions.affine_config import AffineConfig, affine_preset
from gseg.directions.candidate_config import (
    CANDIDATE_KINDS,
    CandidateConfig,
    CandidateKind,
    LearntConfig,
)
from gseg.directions.candidates import Candidates, make_candidates
from gseg.directions.choice_config import ChoiceConfig, DirectionConfig
from gseg.directions.choosing import Choice, choose_direction
from gseg.directions.config import CHOICE_RULES, ChoiceRule, DirectionWay, SearchConfig, preset
from gseg.directions.direction import Direction
from gseg.directions.objective import OBJECTIVE_NAMES, ObjectiveName
from gseg.directions.operators import fit_operators
from gseg.directions.ratio import score_directions, two_affine_ratio
from gseg.directions.search import search_direction

__all__ = [
    "CANDIDATE_KINDS",
    "CHOICE_RULES",
    "OBJECTIVE_NAMES",
    "AffineConfig",
    "CandidateConfig",
    "CandidateKind",
    "Candidates",
    "Choice",
    "ChoiceConfig",
    "ChoiceRule",
    "Direction",
    "DirectionConfig",
    "DirectionWay",
    "LearntConfig",
    "ObjectiveName",
    "SearchConfig",
    "affine_preset",
    "choose_direction",
    "fit_operators",
    "make_candidates",
    "preset",
    "score_directions",
    "search_direction",
    "two_affine_ratio",
]
