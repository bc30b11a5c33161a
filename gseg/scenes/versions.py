"""Kinds of scenes by name; imports nothing that takes time, so that a command line can be read."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class ScenesVersion:
    """One kind of scenes.

    Attributes:
        name: Of its benchmark.
        content: Part of the hash of all that is made from them: changed when a picture changes.
        exposure: How far a common factor drives object and background apart in luminance, as a
            flash or a backlight does; 0: independent.
        part_edge: Steepness of the edges between the background's parts, 1 for a gradient all the
            way from middle to middle; 13 is about as steep as an object's outline.
    """

    name: str
    content: str
    exposure: float = 0.2
    part_edge: float = 1.6


SCENES: Final = ScenesVersion(name="scenes2", content="scenes-v2")
"""Those that the weights which ship were trained on; ``scenes`` for short."""
SCENES_NAME: Final = SCENES.content
_ALL: Final = (
    SCENES,
    ScenesVersion(name="scenes2-exposure-0.1", content="scenes-v2-exposure-0.1", exposure=0.1),
    ScenesVersion(name="scenes2-exposure-0", content="scenes-v2-exposure-0", exposure=0.0),
    # Is shape alone enough? Parts are told from objects by it and by the light only.
    ScenesVersion(name="scenes2-sharp", content="scenes-v2-sharp", part_edge=13.0),
)
VERSIONS: Final[Mapping[str, ScenesVersion]] = MappingProxyType({each.name: each for each in _ALL})
"""Kinds of scenes by name."""
