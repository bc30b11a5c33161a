"""Outlines of the ten scene classes as fields that are negative inside and grow with distance.

Every function takes object coordinates x, y of shape (N, H, W), in which an object is about one
unit large and y points down, and `p`, shape parameters uniform in (0, 1), each of shape (N, 1, 1).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Outline = Callable[[Field, Field, Sequence[Field]], Field]

# How many shape parameters an outline may use.
PARAMETERS: Final = 6


def ellipse(
    x: Field,
    y: Field,
    centre: tuple[float | Field, float | Field],
    axes: tuple[float | Field, float | Field],
    angle: float | Field = 0.0,
) -> Field:
    """Measure the distance to an ellipse, approximately (exact for a circle)."""
    cos, sin = np.cos(angle), np.sin(angle)
    along = (x - centre[0]) * cos + (y - centre[1]) * sin
    across = (y - centre[1]) * cos - (x - centre[0]) * sin
    radius = np.sqrt((along / axes[0]) ** 2 + (across / axes[1]) ** 2)
    return np.asarray((radius - 1) * np.minimum(axes[0], axes[1]), dtype=np.float32)


def union(*parts: Field, softness: float = 0.055) -> Field:
    """Join parts with rounded seams (a smooth minimum)."""
    stack = np.stack(parts)
    nearest = stack.min(axis=0)
    seams = np.exp((nearest - stack) / softness).sum(axis=0)
    return np.asarray(nearest - softness * np.log(seams), dtype=np.float32)


def _disc(x: Field, y: Field, p: Sequence[Field]) -> Field:
    return ellipse(x, y, (0.0, 0.0), (1.0, 0.55 + 0.4 * p[0]))


def _box(x: Field, y: Field, p: Sequence[Field]) -> Field:
    power, height = 3.5 + 3.0 * p[0], 0.6 + 0.35 * p[1]
    norm = (np.abs(x) ** power + np.abs(y / height) ** power) ** (1 / power)
    return np.asarray((norm - 0.88) * height, dtype=np.float32)


def _polygon(x: Field, y: Field, p: Sequence[Field], *, sides: int, inner: float) -> Field:
    radius = np.sqrt(x * x + y * y) + 1e-6
    wedge = 2 * np.pi / sides
    around = (np.arctan2(y, x) + np.pi / 2) % wedge - wedge / 2
    return np.asarray(
        radius * np.cos(around) - inner - 0.05 * p[0] - 0.06 * (radius - 0.7), dtype=np.float32
    )


def _star(x: Field, y: Field, p: Sequence[Field]) -> Field:
    radius, around = np.hypot(x, y), np.arctan2(y, x) + np.pi / 2
    edge = 0.72 + (0.24 + 0.08 * p[0]) * np.cos(5 * around)
    return np.asarray((radius - edge) * 0.75, dtype=np.float32)


def _ring(x: Field, y: Field, p: Sequence[Field]) -> Field:
    middle = ellipse(x, y, (0.0, 0.0), (0.78, 0.62 + 0.16 * p[0]))
    return np.asarray(np.abs(middle) - (0.17 + 0.07 * p[1]), dtype=np.float32)


def _blob(x: Field, y: Field, p: Sequence[Field]) -> Field:
    radius, around = np.hypot(x, y), np.arctan2(y, x)
    edge = (
        0.78
        + 0.13 * np.cos(2 * around + 2 * np.pi * p[0]) * (0.3 + p[1])
        + 0.12 * np.cos(3 * around + 2 * np.pi * p[2]) * (0.3 + p[3])
        + 0.07 * np.cos(5 * around + 2 * np.pi * p[4])
    )
    return np.asarray((radius - edge) * 0.8, dtype=np.float32)


def _quadruped(x: Field, y: Field, p: Sequence[Field]) -> Field:
    stride = 0.25 + 0.1 * p[1]
    return union(
        ellipse(x, y, (0.0, 0.0), (0.66, 0.34 + 0.1 * p[0])),  # trunk
        ellipse(x, y, (0.66, -0.38 - 0.1 * p[2]), (0.27, 0.21)),  # head
        ellipse(x, y, (0.48, -0.18), (0.30, 0.16), -0.9),  # neck
        ellipse(x, y, (-0.42, 0.45), (0.15, 0.38)),  # legs
        ellipse(x, y, (-0.42 + stride, 0.42), (0.12, 0.32)),
        ellipse(x, y, (0.38, 0.45), (0.15, 0.38)),
        ellipse(x, y, (-0.72, -0.10 - 0.15 * p[3]), (0.30, 0.08), 0.7),  # tail
    )


def _mushroom(x: Field, y: Field, p: Sequence[Field]) -> Field:
    return union(
        ellipse(x, y, (0.0, -0.30), (0.52 + 0.12 * p[0], 0.46 + 0.1 * p[1])),  # cap
        ellipse(x, y, (-0.32, -0.08), (0.34, 0.30)),
        ellipse(x, y, (0.32, -0.05 - 0.1 * p[2]), (0.34, 0.30)),
        ellipse(x, y, (0.0, 0.55), (0.13 + 0.05 * p[3], 0.45)),  # stem
    )


def _bird(x: Field, y: Field, p: Sequence[Field]) -> Field:
    beat = 0.3 + 0.5 * p[0]
    return union(
        ellipse(x, y, (0.0, 0.10), (0.32, 0.52)),  # trunk
        ellipse(x, y, (-0.50, -0.02), (0.56, 0.23), beat),  # wings
        ellipse(x, y, (0.50, -0.02), (0.56, 0.23), -beat),
        ellipse(x, y, (0.0, -0.48), (0.20, 0.20)),  # head
        ellipse(x, y, (0.0, 0.62), (0.28, 0.16)),  # tail
    )


# The ten classes; a class label is a position in this table.
OUTLINES: Final[dict[str, Outline]] = {
    "disc": _disc,
    "box": _box,
    "triangle": partial(_polygon, sides=3, inner=0.55),
    "pentagon": partial(_polygon, sides=5, inner=0.75),
    "star": _star,
    "ring": _ring,
    "blob": _blob,
    "quadruped": _quadruped,
    "mushroom": _mushroom,
    "bird": _bird,
}

# Classes that stand on their feet: tilted a little, where the others turn freely.
UPRIGHT: Final = frozenset({"quadruped", "mushroom", "bird"})
