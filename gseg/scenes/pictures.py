"""Scenes: pictures of one object on a background, with the exact mask, from an index alone.

Object and background draw luminance, hue, strength of colour and texture from the same
distributions. Objects leave the picture, backgrounds have nine parts of different tones with soft
edges, and often a part takes the object's own tone: neither a colour that is rare on the border,
nor brightness, nor position gives the mask away (`benchmarks/guard.py`). What tells an object is
that it has an outline, a shape and a lit side. Colours are a luminance plus a luminance-neutral
chroma: brightness is then an axis of its own, which a generator can learn.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gseg.images import LUMINANCE_WEIGHTS
from gseg.randomness import derive_seed, uniforms
from gseg.scenes.shapes import OUTLINES, PARAMETERS, UPRIGHT, Field
from gseg.scenes.versions import SCENES, VERSIONS, ScenesVersion
from gseg.words import unknown

CLASS_NAMES: Final = tuple(OUTLINES)
# Indices below are for training; from here on for choices made while developing.
VALIDATION_FIRST: Final = 1_000_000
# From here on for reported scores only.
HELD_OUT_FIRST: Final = 3_000_000

_UNIFORMS: Final = 160
# Pixels rendered at a time: their intermediate values stay in a CPU's cache. 256 pictures of 32 px
# at a time took a third more time, 16 at a time half as much again.
_CHUNK_PIXELS: Final = 2**16
_LUMINANCE: Final = np.asarray(LUMINANCE_WEIGHTS, dtype=np.float32)
# Parts of the background along each side.
_PARTS: Final = 3
# How often one of them takes the object's tone, but for a little.
_DECOYS: Final = 0.5
_ALMOST: Final = 0.08


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


def render(
    indices: ArrayLike, *, seed: int = 0, resolution: int = 32, version: str = SCENES.name
) -> Scenes:
    """Render scenes; picture i depends on (seed, i, resolution, version) only.

    Args:
        indices: (N,) non-negative picture numbers.
        seed: Another seed, another data set.
        resolution: Side in pixels.
        version: A name in `gseg.scenes.versions.VERSIONS`.

    Returns:
        The pictures with masks and labels, in the order of the indices.

    Raises:
        ValueError: There is no such version.
    """
    if version not in VERSIONS:
        raise ValueError(unknown("version of scenes", version, VERSIONS))
    numbers = np.asarray(indices, dtype=np.int64).reshape(-1)
    chunk = max(1, _CHUNK_PIXELS // resolution**2)
    parts = [
        _render_chunk(numbers[start : start + chunk], seed, resolution, VERSIONS[version])
        for start in range(0, max(len(numbers), 1), chunk)
    ]
    pictures, masks, labels = (
        torch.from_numpy(np.concatenate(part)) for part in zip(*parts, strict=True)
    )
    return Scenes(pictures=pictures, masks=masks, labels=labels)


def _render_chunk(
    numbers: NDArray[np.int64], seed: int, resolution: int, version: ScenesVersion
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.int64]]:
    draws = _Draws(derive_seed(seed, "scenes"), numbers)
    classes = (draws.unit()[:, 0, 0] * len(CLASS_NAMES)).astype(np.int64)
    axis = ((np.arange(resolution, dtype=np.float32) + 0.5) / resolution) * 2 - 1
    y, x = np.broadcast_arrays(axis[None, :, None], axis[None, None, :])
    object_x, object_y, scale = _place(draws, classes, x, y)
    parameters = [draws.unit() for _ in range(PARAMETERS)]
    depth = _distance(classes, object_x, object_y, parameters)
    edge = draws.between(2.2, 3.7) * resolution / 2
    alpha = _sigmoid(-depth * scale * edge)
    # One factor, added to the object and taken from the background.
    exposure = version.exposure * draws.between(-1, 1)
    own = _tone(draws)
    background = _background(draws, x, y, own, exposure, version)
    shade = _shade(draws, object_x, object_y, depth)
    foreground = _colour(own.brighter(exposure)) * (1 + shade[:, None]) + _texture(draws, x, y)
    mixed = background + (foreground - background) * alpha[:, None]
    pixels = (255 * (0.02 + 0.96 * np.clip(mixed, 0, 1))).round().astype(np.uint8)
    return pixels, alpha > 0.5, classes


def _place(
    draws: _Draws, classes: NDArray[np.int64], x: Field, y: Field
) -> tuple[Field, Field, Field]:
    """Turn picture coordinates into object coordinates; also give the object's scale."""
    upright = np.isin(classes, [CLASS_NAMES.index(name) for name in UPRIGHT])[:, None, None]
    centre_x, centre_y = draws.around(0.55), draws.around(0.48) + 0.02
    scale = draws.between(0.50, 0.90) * np.where(upright, np.float32(1.12), np.float32(1.0))
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


class _Tone(NamedTuple):
    """A colour: luminance, hue in turns, and strength of the chroma, each (N, 1, 1)."""

    value: Field
    hue: Field
    strength: Field

    def brighter(self, by: Field) -> "_Tone":
        return self._replace(value=np.clip(self.value + by, 0.05, 0.95))


def _tone(draws: _Draws) -> _Tone:
    return _Tone(draws.between(0.22, 0.74), draws.unit(), draws.between(0.03, 0.30))


def _colour(tone: _Tone) -> Field:
    """Give a luminance a chroma that leaves it unchanged: (N, 3, 1, 1)."""
    offsets = np.asarray([0, 2 / 3, 1 / 3], dtype=np.float32).reshape(3, 1, 1)
    pure = np.clip(np.abs(((tone.hue[:, None] + offsets) % 1) * 6 - 3) - 1, 0, 1)
    chroma = pure - (pure * _LUMINANCE.reshape(3, 1, 1)).sum(axis=1, keepdims=True)
    chroma /= np.sqrt((chroma**2).sum(axis=1, keepdims=True))
    return np.asarray(np.clip(tone.value[:, None] + tone.strength[:, None] * chroma, 0.02, 0.98))


def _background(
    draws: _Draws, x: Field, y: Field, own: _Tone, exposure: Field, version: ScenesVersion
) -> Field:
    """Parts of different tones side by side: (N, 3, H, W)."""
    decoy, place = draws.chance(_DECOYS), (draws.unit() * _PARTS**2).astype(np.int64)
    tones = []
    for number in range(_PARTS**2):
        tone, is_decoy = _tone(draws), (decoy > 0) & (place == number)
        almost = own.value + draws.around(_ALMOST), own.hue + draws.around(_ALMOST), own.strength
        tone = _Tone(*(np.where(is_decoy, a, b) for a, b in zip(almost, tone, strict=True)))
        tones.append(_colour(tone.brighter(-exposure))[..., 0, 0])
    table = np.stack(tones, axis=-1).reshape(*tones[0].shape, _PARTS, _PARTS)
    # From part to part along each axis: (H, parts) and (W, parts), each row's sum is 1.
    down, right = (_steps(axis, version.part_edge) for axis in (y[0, :, 0], x[0, 0]))
    # Not by a matrix product, whose last bits may depend on how many pictures there are.
    rows = np.sum([down[:, i, None] * table[:, :, i, None] for i in range(_PARTS)], axis=0)
    blend = np.sum([rows[..., j, None] * right[:, j] for j in range(_PARTS)], axis=0)
    return np.asarray(blend + _texture(draws, x, y), dtype=np.float32)


def _steps(axis: NDArray[np.float32], edge: float) -> Field:
    """Say how much of each part a place on an axis has: (places, parts)."""
    place = (axis + 1) / 2 * (_PARTS - 1)
    left = np.clip(np.floor(place), 0, _PARTS - 2).astype(np.int64)
    share = np.clip((place - left - 0.5) * edge + 0.5, 0, 1)
    share = share**2 * (3 - 2 * share)
    rows = np.arange(len(axis))
    table = np.zeros((len(axis), _PARTS), dtype=np.float32)
    table[rows, left], table[rows, left + 1] = 1 - share, share
    return table


def _shade(draws: _Draws, x: Field, y: Field, depth: Field) -> Field:
    """Light an object from a side, and its middle more than its rim: (N, H, W), 0 is as it is."""
    light = draws.turn()
    shade = (np.cos(light) * x + np.sin(light) * y) * draws.between(0.08, 0.38)
    return np.asarray(shade + 0.10 * (np.clip(-depth / 0.35, 0, 1) - 0.5), dtype=np.float32)


def _texture(draws: _Draws, x: Field, y: Field) -> Field:
    """Waves or stripes around 0, a little stronger in one channel than another: (N, 3, H, W)."""
    waves = _waves(draws, x, y, count=5, lowest=2.0, highest=13.0)
    angle = draws.turn()
    stripes = np.sin(draws.between(7, 15) * (np.cos(angle) * x + np.sin(angle) * y) + draws.turn())
    striped = draws.chance(0.25)
    texture = waves * (1 - 0.7 * striped) + stripes * striped
    tint = np.stack([draws.between(0.75, 1.25) for _ in range(3)], axis=1)
    return np.asarray((draws.between(0.02, 0.13) * texture)[:, None] * tint, dtype=np.float32)


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
