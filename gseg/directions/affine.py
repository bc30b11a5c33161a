"""How well two affine colour maps explain a shift (Voynov et al. 2021, sections 3.1 and 3.2).

A segmenting direction h acts on every pixel as one of two maps of its colour, A1 or A2 (Eq. 1).
The maps of many directions are fitted together and share the original pictures. Losses are means
over pixels, not the sums of Eq. (3): section 3.2 ("averaged over all image pixels") and the
official program agree on that.

Label-free score
    The restoration loss alone ranks directions that change nothing first. `two_affine_ratio`
    divides it by the loss of a single affine map: 1 where one map explains the shift as well as
    two, towards 0 where the picture falls into two parts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from gseg.directions.affine_config import AffineConfig, affine_preset
from gseg.directions.codes import shifted_pictures
from gseg.directions.colour_maps import ColourMaps, homogeneous, pixel_targets
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, training_order, uniforms

Batches = Callable[[int], tuple[Tensor, Tensor]]
"""Step to originals (B, 3, H, W) and shifted pictures (K, B, 3, H, W)."""
Progress = Callable[[int, int], None]

__all__ = [
    "AffineConfig",
    "AffineFit",
    "Batches",
    "affine_preset",
    "fit_maps",
    "generated_batches",
    "picture_batches",
    "score_directions",
    "two_affine_ratio",
]

_NO_CHANGE: Final = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AffineFit:
    """Fitted maps of K directions.

    Attributes:
        maps: The maps; of each direction the lightening one stands first.
        losses: (K,) restoration losses, Eq. (3), means over pixels of fresh pictures.
        distances: (K,) mean distances D of section 3.2.
    """

    maps: ColourMaps
    losses: Tensor
    distances: Tensor

    def assign(self, originals: Tensor, shifted: Tensor) -> Tensor:
        """Say which map each pixel takes, Eq. (5).

        Args:
            originals: (N, 3, H, W) in [-1, 1].
            shifted: (K, N, 3, H, W), the same pictures shifted along each direction.

        Returns:
            (K, N, H, W) int64; 0 is the lightening map, so ``== 0`` is the foreground of a
            direction that lightens it.
        """
        _check_pictures(originals, shifted)
        _, number = self.maps.nearest(homogeneous(originals), pixel_targets(shifted))
        return number.view(len(shifted), len(originals), *originals.shape[2:])


@torch.no_grad()
def fit_maps(
    batches: Batches, config: AffineConfig, *, progress: Progress | None = None
) -> AffineFit:
    """Fit the maps of all directions together, Eq. (4).

    The directions share start, batches and steps but not each other's gradients, so each one's
    maps are those of a fit by itself.

    Args:
        batches: Pictures of a step: `picture_batches` or `generated_batches`. Steps from
            config.steps on are test batches.
        config: Settings.
        progress: Called after each step with (steps done, steps in all).

    Returns:
        The fit.
    """
    weights, adam = None, None
    for step in range(config.steps):
        originals, shifted = batches(step)
        if weights is None or adam is None:
            weights = _start(config).to(originals.device).repeat(len(shifted), 1, 1, 1)
            adam = torch.optim.Adam([weights], lr=config.learning_rate)
        maps = ColourMaps(weights=weights, clamped=config.clamped)
        _, weights.grad = maps.loss_and_gradient(homogeneous(originals), pixel_targets(shifted))
        if config.decay:
            adam.param_groups[0]["lr"] = config.learning_rate * (1 - step / config.steps)
        adam.step()
        if progress is not None:
            progress(step + 1, config.steps)
    assert weights is not None
    return _measure(ColourMaps(weights=weights, clamped=config.clamped), batches, config)


def picture_batches(originals: Tensor, shifted: Tensor, config: AffineConfig) -> Batches:
    """Serve batches from pictures that exist already.

    Args:
        originals: (N, 3, H, W) in [-1, 1].
        shifted: (K, N, 3, H, W).
        config: Gives batch and seed.

    Returns:
        A function for `fit_maps`: permutations of the N pictures, one after the other.
    """
    _check_pictures(originals, shifted)
    seed = derive_seed(config.seed, "affine", "pictures")

    def batch(step: int) -> tuple[Tensor, Tensor]:
        order = training_order(seed, step, config.batch, len(originals))
        rows = torch.from_numpy(order).to(originals.device)
        return originals[rows], shifted[:, rows]

    return batch


def generated_batches(generator: Generator, shifts: Tensor, config: AffineConfig) -> Batches:
    """Generate fresh pictures for every step, as the paper does; originals are shared.

    Args:
        generator: A frozen generator.
        shifts: (K, D), the directions times the length of the shift.
        config: Gives batch and seed.

    Returns:
        A function for `fit_maps`.
    """

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rows = range(step * config.batch, (step + 1) * config.batch)
        return shifted_pictures(generator, shifts, rows, seed=config.seed)

    return batch


def two_affine_ratio(
    originals: Tensor, shifted: Tensor, config: AffineConfig | None = None
) -> Tensor:
    """Score directions without labels: the loss of two maps over the loss of one.

    Args:
        originals: (N, 3, H, W) in [-1, 1].
        shifted: (K, N, 3, H, W), or (N, 3, H, W) for a single direction.
        config: Settings; by default the preset ``gseg`` on about all N pictures.

    Returns:
        (K,) ratios, or a scalar tensor for a single direction; low is good, 1 for a shift that
        changes nothing.
    """
    if shifted.ndim == 4:
        return two_affine_ratio(originals, shifted[None], config)[0]
    if config is None:
        config = AffineConfig(test_batches=math.ceil(len(originals) / AffineConfig().batch))
    batches = picture_batches(originals, shifted, config)
    two, one = (fit_maps(batches, replace(config, maps=maps)).losses for maps in (2, 1))
    return torch.where(one > _NO_CHANGE, two / one.clamp(min=_NO_CHANGE), 1.0)


def score_directions(
    generator: Generator,
    vectors: Tensor,
    *,
    epsilon: float = 1.0,
    pictures: int = 64,
    seed: int = 0,
) -> Tensor:
    """Score directions of a generator by `two_affine_ratio` on freshly generated pictures.

    Args:
        generator: A frozen generator.
        vectors: (K, D) unit vectors.
        epsilon: Length of the shift.
        pictures: Originals to generate.
        seed: Of latents and labels.

    Returns:
        (K,) ratios; low is good.
    """
    shown = shifted_pictures(generator, epsilon * vectors, range(pictures), seed=seed)
    return two_affine_ratio(*shown)


def _start(config: AffineConfig) -> Tensor:
    """Give the (1, M, 3, 4) start that all directions share."""
    u = uniforms(derive_seed(config.seed, "affine", "start"), range(config.maps), 12)
    noise = torch.from_numpy(2 * u - 1).float().view(config.maps, 3, 4)
    weights = torch.eye(3, 4).repeat(config.maps, 1, 1)
    weights[..., :3] += config.matrix_noise * noise[..., :3]
    weights[..., 3] += config.offset_noise * noise[..., 3]
    if config.maps > 1:
        split = torch.linspace(config.offset_split, -config.offset_split, config.maps)
        weights[..., 3] += split[:, None]
    return weights[None]


def _measure(maps: ColourMaps, batches: Batches, config: AffineConfig) -> AffineFit:
    """Order the maps and average losses and distances over the test batches."""
    tests = [batches(config.steps + k) for k in range(config.test_batches)]
    colours = [homogeneous(originals) for originals, _ in tests]
    maps = maps.lightest_first(torch.stack([c.mean(1) for c in colours]).mean(0))
    losses = [
        maps.nearest(c, pixel_targets(shifted))[0].mean(1)
        for c, (_, shifted) in zip(colours, tests, strict=True)
    ]
    distances = [maps.mean_distance(c) for c in colours]
    return AffineFit(
        maps=maps, losses=torch.stack(losses).mean(0), distances=torch.stack(distances).mean(0)
    )


def _check_pictures(originals: Tensor, shifted: Tensor) -> None:
    if originals.ndim != 4 or shifted.ndim != 5 or shifted.shape[1:] != originals.shape:
        raise ValueError(
            "Expected originals (N, 3, H, W) and shifted pictures (K, N, 3, H, W) of the same N, "
            f"H and W, got {tuple(originals.shape)} and {tuple(shifted.shape)}."
        )
