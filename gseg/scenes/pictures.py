"""Scenes: pictures of one object on a background, with the exact mask, from an index alone.

Object and background draw their luminance, hue and texture independently of each other, so that
neither brightness nor position gives the mask away. Colours are a luminance plus a
luminance-neutral chroma: brightness is then an axis of its own, which a generator can learn.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gseg.images import LUMINANCE_WEIGHTS
from gseg.randomness import derive_seed, uniforms
from gseg.scenes.shapes import OUTLINES, PARAMETERS, UPRIGHT, Field

CLASS_NAMES: Final = tuple(OUTLINES)
# Indices below are for training; from here on for choices made while developing.
VALIDATION_FIRST: Final = 1_000_000
# From here on for reported scores only.
HELD_OUT_FIRST: Final = 3_000_000
# Part of the hash of all that is made from scenes: changed when a picture changes.
SCENES_NAME: Final = "scenes-v1"
# How far a common factor drives object and background apart in luminance (0: independent).
EXPOSURE: Final = 0.2

_UNIFORMS: Final = 128
# Pixels rendered at a time: their intermediate values stay in a CPU's cache. 256 pictures of 32 px
# at a time took a third more time, 16 at a time half as much again.
_CHUNK_PIXELS: Final = 2**16
_LUMINANCE: Final = np.asarray(LUMINANCE_WEIGHTS, dtype=np.float32)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenes:
    """Rendered pictures.

    Attributes:
        pictures: (N, 3, R, R) uint8.
        masks: (N, R, R) bool, True on the object.
        labels: (N,) int64, position in `CLASS_NAMES`.
    """

    pictures: Tensor
    masks: Tensor
    labels: Tensor


class _Draws:
    """Hands out a picture's uniform numbers one column after the other."""

    def __init__(self, seed: int, indices: NDArray[np.int64]) -> None:
        self._columns = uniforms(seed, indices, _UNIFORMS).astype(np.float32)
        self._next = 0

    def unit(self) -> Field:
        """(N, 1, 1) in (0, 1)."""
        column = self._columns[:, self._next, None, None]
        self._next += 1
        return column

    def between(self, low: float, high: float) -> Field:
        """(N, 1, 1), uniform."""
        return low + (high - low) * self.unit()

    def around(self, width: float) -> Field:
        """(N, 1, 1), triangular in (-width, width)."""
        return width * (self.unit() + self.unit() - 1)

    def turn(self) -> Field:
        """(N, 1, 1), an angle."""
        return 2 * np.float32(np.pi) * self.unit()

    def chance(self, probability: float) -> Field:
        """(N, 1, 1), 1 with this probability, else 0."""
        return (self.unit() < probability).astype(np.float32)


def render(indices: ArrayLike, *, seed: int = 0, resolution: int = 32) -> Scenes:
    """Render scenes; picture i depends on (seed, i, resolution) only.

    Args:
        indices: (N,) non-negative picture numbers.
        seed: Another seed, another data set.
        resolution: Side in pixels.

    Returns:
        The pictures with masks and labels, in the order of the indices.
    """
    numbers = np.asarray(indices, dtype=np.int64).reshape(-1)
    chunk = max(1, _CHUNK_PIXELS // resolution**2)
    parts = [
        _render_chunk(numbers[start : start + chunk], seed, resolution)
        for start in range(0, max(len(numbers), 1), chunk)
    ]
    pictures, masks, labels = (
        torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True)
    )
    return Scenes(pictures=pictures, masks=masks, labels=labels)


def _render_chunk(
    numbers: NDArray[np.int64], seed: int, resolution: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int64]]:
    draws = _Draws(derive_seed(seed, "scenes"), numbers)
    classes = (draws.unit()[:, 0, 0] * len(CLASS_NAMES)).astype(np.int64)
    axis = ((np.arange(resolution, dtype=np.float32) + 0.5) / resolution) * 2 - 1
    y, x = np.broadcast_arrays(axis[None, :, None], axis[None, None, :])
    object_x, object_y, scale = _place(draws, classes, x, y)
    parameters = [draws.unit() for _ in range(PARAMETERS)]
    distance = _distance(classes, object_x, object_y, parameters) * scale
    sharpness = draws.between(2.2, 3.7) * resolution / 2
    alpha = _sigmoid(-distance * sharpness)
    # One factor, added to the object and taken from the background: `_foreground`, `_background`.
    exposure = EXPOSURE * draws.between(-1, 1)
    hue = draws.unit()
    background = _background(draws, x, y, hue, exposure)
    foreground = _foreground(draws, object_x, object_y, distance / scale, hue, exposure)
    mixed = background + (foreground - background) * alpha[:, None]
    pixels = (255 * (0.02 + 0.96 * np.clip(mixed, 0, 1))).round().astype(np.uint8)
    return pixels, alpha > 0.5, classes


def _place(
    draws: _Draws, classes: NDArray[np.int64], x: Field, y: Field
) -> tuple[Field, Field, Field]:
    """Turn picture coordinates into object coordinates; also give the object's scale."""
    upright = np.isin(classes, [CLASS_NAMES.index(name) for name in UPRIGHT])[:, None, None]
    centre_x, centre_y = draws.around(0.46), draws.around(0.38) + 0.02
    scale = draws.between(0.46, 0.80) * np.where(upright, np.float32(1.12), np.float32(1.0))
    angle = np.where(upright, draws.around(0.5), draws.turn())
    side = 1 - 2 * draws.chance(0.5)
    stretch = draws.between(0.85, 1.15)
    u, v = (x - centre_x) / scale, (y - centre_y) / scale
    along = (np.cos(angle) * u + np.sin(angle) * v) * side * stretch
    return along, np.cos(angle) * v - np.sin(angle) * u, scale


def _distance(classes: NDArray[np.int64], x: Field, y: Field, parameters: list[Field]) -> Field:
    distance = np.empty(np.broadcast_shapes(x.shape, y.shape), dtype=np.float32)
    for number, name in enumerate(CLASS_NAMES):
        rows = np.nonzero(classes == number)[0]
        if len(rows):
            distance[rows] = OUTLINES[name](x[rows], y[rows], [p[rows] for p in parameters])
    return distance


def _background(draws: _Draws, x: Field, y: Field, hue: Field, exposure: Field) -> Field:
    """Two tones meeting in a gradient or at a horizon, under waves or stripes: (N, 3, H, W)."""
    value, strength = draws.between(0.22, 0.74) - exposure, draws.between(0.03, 0.25)
    tone = _colour(value, hue, strength)
    other = _colour(
        np.clip(value + draws.around(0.32), 0.06, 0.94),
        hue + draws.around(0.25),
        np.clip(strength + draws.around(0.1), 0, 0.3),
    )
    tilt = draws.around(0.9) + np.float32(np.pi / 2) * draws.chance(0.4)
    ramp = np.sin(tilt) * x + np.cos(tilt) * y - draws.around(0.5) - 0.2
    share = _sigmoid(ramp * np.where(draws.chance(0.45) > 0, 1.8, 9.0))
    waves = _waves(draws, x, y, count=6, lowest=2.0, highest=13.0)
    angle = draws.turn()
    stripes = np.sin(draws.between(8, 18) * (np.cos(angle) * x + np.sin(angle) * y) + draws.turn())
    striped = 0.8 * draws.chance(0.2)
    texture = waves * (1 - 0.7 * striped) + stripes * striped
    tint = np.stack([draws.between(0.75, 1.25) for _ in range(3)], axis=1)
    amplitude = draws.between(0.02, 0.13)
    blend = tone * (1 - share[:, None]) + other * share[:, None]
    return np.asarray(blend + (amplitude * texture)[:, None] * tint, dtype=np.float32)


def _foreground(
    draws: _Draws, x: Field, y: Field, depth: Field, hue: Field, exposure: Field
) -> Field:
    """A tone with shading, a rim, and waves or a check pattern of a second tone: (N, 3, H, W)."""
    value, strength = draws.between(0.22, 0.74) + exposure, draws.between(0.10, 0.38)
    own_hue = hue + draws.between(0.125, 0.875)
    tone = _colour(value, own_hue, strength)
    second = _colour(value, own_hue + draws.around(0.3), strength)
    light = draws.turn()
    shade = (np.cos(light) * x + np.sin(light) * y) * draws.between(0.08, 0.38)
    shade = shade + 0.10 * (np.clip(-depth / 0.35, 0, 1) - 0.5)
    waves = _waves(draws, x, y, count=4, lowest=2.5, highest=9.0)
    bars = np.sin(draws.between(5, 10) * x + draws.turn())
    cross = np.sin(draws.between(5, 10) * y)
    checks = bars * np.where(draws.chance(0.5) > 0, np.float32(1.0), cross)
    patterned = draws.chance(0.25)
    texture = waves * (1 - 0.7 * patterned) + checks * patterned
    amplitude = draws.between(0.02, 0.12)
    pattern = 0.5 * (second - tone) * (np.clip(texture, -1, 1) * patterned)[:, None]
    lit = tone * (1 + shade[:, None]) + (amplitude * texture)[:, None]
    return np.asarray(lit + pattern, dtype=np.float32)


def _colour(value: Field, hue: Field, strength: Field) -> Field:
    """Give a luminance a chroma that leaves it unchanged: (N, 3, 1, 1)."""
    offsets = np.asarray([0, 2 / 3, 1 / 3], dtype=np.float32).reshape(3, 1, 1)
    pure = np.clip(np.abs(((hue[:, None] + offsets) % 1) * 6 - 3) - 1, 0, 1)
    chroma = pure - (pure * _LUMINANCE.reshape(3, 1, 1)).sum(axis=1, keepdims=True)
    chroma /= np.sqrt((chroma**2).sum(axis=1, keepdims=True))
    return np.asarray(np.clip(value[:, None] + strength[:, None] * chroma, 0.02, 0.98))


def _waves(
    draws: _Draws, x: Field, y: Field, *, count: int, lowest: float, highest: float
) -> Field:
    """Sum plane waves of random direction, weaker at high frequency, to about unit variance."""
    total: NDArray[np.floating] = np.zeros(np.broadcast_shapes(x.shape, y.shape), dtype=np.float32)
    for number in range(count):
        frequency = lowest * (highest / lowest) ** ((number + draws.unit()) / count)
        angle = draws.turn()
        phase = frequency * (np.cos(angle) * x + np.sin(angle) * y) + draws.turn()
        total = total + (lowest / frequency) ** 0.7 * np.sin(phase)
    return np.asarray(total / np.sqrt(count / 2), dtype=np.float32)


def _sigmoid(x: NDArray[np.floating]) -> Field:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -30, 30))), dtype=np.float32)
