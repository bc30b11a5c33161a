"""Latent directions along which foreground and background part (floor 2)."""

from gseg.directions.config import SearchConfig, preset
from gseg.directions.direction import Direction
from gseg.directions.objective import OBJECTIVE_NAMES, ObjectiveName
from gseg.directions.ratio import score_directions, two_affine_ratio
from gseg.directions.search import search_direction

__all__ = [
    "OBJECTIVE_NAMES",
    "Direction",
    "ObjectiveName",
    "SearchConfig",
    "preset",
    "score_directions",
    "search_direction",
    "two_affine_ratio",
]
