"""Generators: architectures, their checkpoints, and one catalogue of them all.

Example:
    >>> generator = load_generator("analytic.ellipses32")
    >>> generator.card.resolution
    32
"""

from gseg.generators.catalogue import (
    cached_generator,
    find_card,
    list_generators,
    load_generator,
)
from gseg.generators.checkpoints import from_checkpoint
from gseg.generators.contract import Generator, GeneratorCard
from gseg.generators.own import register_generator

__all__ = [
    "Generator",
    "GeneratorCard",
    "cached_generator",
    "find_card",
    "from_checkpoint",
    "list_generators",
    "load_generator",
    "register_generator",
]
