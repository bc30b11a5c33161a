"""Settings of a fit of affine colour maps, and those that each source used."""

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

AffinePreset = Literal["voynov2021_text", "voynov2021_program", "gseg"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AffineConfig:
    """Settings of a fit. The defaults are those of `affine_preset("gseg")`.

    Attributes:
        maps: Affine maps for each direction.
        steps: Updates of Adam.
        learning_rate: Adam's.
        decay: Let the rate fall linearly to zero.
        batch: Pictures in a step.
        test_batches: Fresh batches after the last step that losses and distances come from.
        matrix_noise: The matrices start at the identity plus uniform noise of this half-width.
        offset_noise: The offsets start at uniform noise of this half-width.
        offset_split: The offsets of several maps start spread evenly over plus and minus this,
            one lightening, one darkening: which map is which is not left to chance.
        clamped: Clamp the maps' outputs to [-1, 1].
        seed: Of start and batches.
    """

    maps: int = 2
    steps: int = 200
    learning_rate: float = 0.02
    decay: bool = True
    batch: int = 4
    test_batches: int = 5
    matrix_noise: float = 0.0
    offset_noise: float = 0.0
    offset_split: float = 0.1
    clamped: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("maps", "steps", "batch", "test_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}.")
        for name in ("matrix_noise", "offset_noise", "offset_split", "seed"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if self.maps > 1 and self.matrix_noise == self.offset_noise == self.offset_split == 0:
            raise ValueError(
                "Several maps that start equal stay equal: give matrix_noise, offset_noise or "
                "offset_split."
            )


# The official program scales a linear layer's usual start, uniform in ±1/sqrt(3), by 0.01 for
# the matrices only. The text states no start: the program's.
_PROGRAM: Final = AffineConfig(
    learning_rate=0.005,
    decay=False,
    matrix_noise=0.01 / math.sqrt(3),
    offset_noise=1 / math.sqrt(3),
    offset_split=0.0,
    clamped=True,
)
_PRESETS: Final[dict[str, AffineConfig]] = {
    "voynov2021_text": replace(_PROGRAM, clamped=False),
    "voynov2021_program": _PROGRAM,
    "gseg": AffineConfig(),
}


def affine_preset(name: AffinePreset) -> AffineConfig:
    """Give the settings of a source.

    Args:
        name: ``voynov2021_text``, ``voynov2021_program``, or ``gseg``: a start and a rate with
            which the same 200 steps do not depend on luck.

    Returns:
        A config; change single fields with `dataclasses.replace`.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in _PRESETS:
        known = ", ".join(get_args(AffinePreset))
        raise ValueError(f"Unknown affine preset {name!r}; expected one of: {known}.")
    return _PRESETS[name]
