"""Fit affine colour maps to what a shift does (Voynov et al. 2021, section 3.1).

A segmenting direction h acts on every pixel as one of two maps of its colour, A1 or A2 (Eq. 1).
The maps of many directions are fitted together and share the original pictures. Losses are means
over pixels, not the sums of Eq. (3): section 3.2 ("averaged over all image pixels") and the
official program agree on that.

`two_affine_ratio` makes a score of them that needs no labels. The restoration loss alone ranks
directions that change nothing first; divided by the loss of a single map it is 1 where one map
explains the shift as well as two, towards 0 where the picture falls into two parts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from gseg.directions.codes import Progress, shifted_pictures
from gseg.directions.colour_maps import ColourMaps, homogeneous, homogeneous_each, pixel_targets
from gseg.directions.config import AffineConfig
from gseg.directions.direction import Direction
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.randomness import derive_seed, training_order, uniforms
from gseg.storage.digests import canonical
from gseg.transfers import send

Batches = Callable[[int], tuple[Tensor, Tensor]]
"""Step to originals (B, 3, H, W) and shifted pictures (K, B, 3, H, W)."""

# A mean distance of colours, which are in [-1, 1]: less is rounding of the pictures.
_NO_CHANGE: Final = 1e-6
# An eigenvalue of sums of products, over the largest: less is rounding of float32 colours.
_OPEN: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class AffineFit:
    """Fitted maps of K directions, or of K pictures.

    Attributes:
        maps: The maps; of each direction the lightening one stands first: that whose pixels get
            lighter in the mean (section 3.2).
        losses: (K,) restoration losses, Eq. (3), means over pixels of fresh pictures.
        distances: (K,) mean distances D of section 3.2.
        shares: (K,) shares of the pixels that take the first map, 1 for a single one.
    """

    maps: ColourMaps
    losses: Tensor
    distances: Tensor
    shares: Tensor


def picture_batches(originals: Tensor, shifted: Tensor, config: AffineConfig) -> Batches:
    """Serve batches from pictures that exist already: permutations of them, one after the other.

    Args:
        originals: (N, 3, H, W) in [-1, 1].
        shifted: (K, N, 3, H, W).
        config: Gives batch and seed.
    """
    _check_pictures(originals, shifted)
    seed = derive_seed(config.seed, "affine", "pictures")

    def batch(step: int) -> tuple[Tensor, Tensor]:
        order = training_order(seed, step, config.batch, len(originals))
        rows = send(torch.from_numpy(order), originals.device)
        return originals[rows], shifted[:, rows]

    return batch


def generated_batches(generator: Generator, shifts: Tensor, config: AffineConfig) -> Batches:
    """Generate fresh pictures for every step, as the paper does; originals are shared.

    Args:
        generator: A frozen generator.
        shifts: (K, D), the directions times the length of the shift.
        config: Gives batch and seed.
    """

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rows = range(step * config.batch, (step + 1) * config.batch)
        return shifted_pictures(generator, shifts, rows, seed=config.seed)

    return batch


def fit_maps(
    batches: Batches, config: AffineConfig, *, progress: Progress | None = None
) -> AffineFit:
    """Fit the maps of all directions together, Eq. (4); steps from config.steps on are tests."""
    return fit_several(batches, config, [config.maps], progress=progress)[0]


@exact()
def fit_several(
    batches: Batches,
    config: AffineConfig,
    numbers: Sequence[int] = (2, 1),
    *,
    progress: Progress | None = None,
) -> list[AffineFit]:
    """Fit several numbers of maps to the same pictures, of which each batch is asked for once."""

    def pixels(step: int) -> tuple[Tensor, Tensor]:
        originals, shifted = batches(step)
        return homogeneous(originals), pixel_targets(shifted)

    configs = [replace(config, maps=number) for number in numbers]
    return _fit(pixels, configs, config.test_batches, progress)


@exact()
def fit_each(originals: Tensor, shifted: Tensor, config: AffineConfig) -> AffineFit:
    """Fit maps to each picture by itself (section 4.6), all pictures together.

    Args:
        originals: (N, 3, H, W) in [-1, 1].
        shifted: (N, 3, H, W), the same pictures shifted.
        config: A step sees all pixels of a picture, so batch and test batches do not count.

    Returns:
        The fit, with K = N.

    Raises:
        ValueError: The shapes differ.
    """
    _check_pictures(originals, shifted[None])
    whole = homogeneous_each(originals), shifted.flatten(2)
    return _fit(lambda _: whole, [config], 1, None)[0]


@exact()
def fit_operators(
    generator: Generator, direction: Direction, epsilon: float, config: AffineConfig | None = None
) -> Direction:
    """Give a direction the two colour maps that its lighter vector acts by, for masks by Eq. (5).

    Args:
        generator: The one that the direction belongs to; its device does the work.
        direction: Stays as it is.
        epsilon: Length of the shift, the same as for the masks.
        config: By default the preset ``gseg``.

    Returns:
        The same direction with operators; loss, distance and settings stand in the provenance
        under ``operators``.

    Raises:
        ValueError: The direction does not fit the generator, or config has not two maps.
    """
    config = config or AffineConfig()
    direction.check(generator)
    shifts = epsilon * direction.lighter.to(generator.device)[None]
    fit = fit_maps(generated_batches(generator, shifts, config), config)
    measured = {"restoration_loss": float(fit.losses[0]), "distance": float(fit.distances[0])}
    facts = {"epsilon": epsilon, **measured, "config": canonical(config)}
    operators = replace(fit.maps, weights=fit.maps.weights.cpu())
    provenance = {**direction.provenance, "operators": facts}
    return replace(direction, operators=operators, provenance=provenance)


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
    return loss_ratio(*fit_several(picture_batches(originals, shifted, config), config))


@exact()
@torch.no_grad()
def fixed_mask_residuals(original: Tensor, shifted: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Fit affine maps to a shift where a mask, not the nearer map, says which one a pixel takes.

    Least squares in closed form, each picture by itself. For maps that are shared by pictures, put
    them side by side: N = 1, and all pixels along H.

    Args:
        original: (N, 3, H, W) in [-1, 1].
        shifted: (N, 3, H, W), the same pictures shifted.
        masks: (N, H, W) bool; one that is all or nothing leaves what one map leaves.

    Returns:
        (N,) float64 squared distances of colours, means over pixels, that two maps leave, one
        inside the mask and one outside; and (N,) that one map leaves, which is never less.

    Raises:
        ValueError: The shapes differ.
    """
    if original.shape != shifted.shape or masks.shape != original[:, 0].shape:
        raise ValueError(
            "Expected original and shifted pictures (N, 3, H, W) and masks (N, H, W) of the same "
            f"N, H and W, got {tuple(original.shape)}, {tuple(shifted.shape)} and "
            f"{tuple(masks.shape)}."
        )
    values = torch.cat([homogeneous_each(original), shifted.flatten(2)], dim=1).double()
    whole = values @ values.mT  # (N, 7, 7) sums of products: all that least squares needs
    inside = values.mul_(masks.flatten(1)[:, None]) @ values.mT
    one, fore, back = (_least_squares(sums) for sums in (whole, inside, whole - inside))
    pixels = values.shape[2]
    return (fore + back).minimum(one) / pixels, one / pixels


def _least_squares(sums: Tensor) -> Tensor:
    """Sum what the best map from (r, g, b, 1) to three targets leaves, from (N, 7, 7) products."""
    colours, mixed, targets = sums[:, :4, :4], sums[:, :4, 4:], sums[:, 4:, 4:]
    # Grey or plain pixels, or none at all, leave the map open in some directions: it is 0 there.
    inverse = torch.linalg.pinv(colours, hermitian=True, rtol=_OPEN)
    explained = (mixed * (inverse @ mixed)).sum((1, 2))
    left: Tensor = targets.diagonal(dim1=1, dim2=2).sum(1) - explained
    return left.clamp(min=0)


def loss_ratio(two: AffineFit, one: AffineFit) -> Tensor:
    """Divide the losses of two maps by those of one: (K,), 1 for a shift that changes nothing."""
    ratios = two.losses / one.losses.clamp(min=_NO_CHANGE)
    return torch.where(one.losses > _NO_CHANGE, ratios, 1.0)


@torch.no_grad()
def _fit(
    pixels: Batches, configs: Sequence[AffineConfig], tests: int, progress: Progress | None
) -> list[AffineFit]:
    """Fit to the colours (4, P) or (K, 4, P) and targets (K, 3, P) of each step.

    Directions share start, batches and steps but not each other's gradients, so each one's maps
    are those of a fit by itself.
    """
    steps = configs[0].steps
    maps: list[ColourMaps] = []
    for step in range(steps):
        colours, targets = pixels(step)
        if not maps:  # the first batch says how many directions there are, and where
            maps = [_start(config, targets) for config in configs]
            adams = [torch.optim.Adam([each.weights], lr=configs[0].learning_rate) for each in maps]
        for fitted, adam, config in zip(maps, adams, configs, strict=True):
            _, fitted.weights.grad = fitted.loss_and_gradient(colours, targets)
            if config.decay:
                adam.param_groups[0]["lr"] = config.learning_rate * (1 - step / steps)
            adam.step()  # in place: the maps are those of the step
        if progress is not None:
            progress(step + 1, steps)
    fresh = [pixels(steps + k) for k in range(tests)]
    return [_measure(fitted, fresh) for fitted in maps]


def _start(config: AffineConfig, targets: Tensor) -> ColourMaps:
    """Give the maps of K directions, for targets (K, 3, P), the start that all share."""
    # A row for each map: a single map starts as the first of two.
    u = uniforms(derive_seed(config.seed, "affine", "start"), range(config.maps), 12)
    noise = torch.from_numpy(2 * u - 1).float().view(config.maps, 3, 4)
    weights = torch.eye(3, 4).repeat(config.maps, 1, 1)
    weights[..., :3] += config.matrix_noise * noise[..., :3]
    weights[..., 3] += config.offset_noise * noise[..., 3]
    if config.maps > 1:
        split = torch.linspace(config.offset_split, -config.offset_split, config.maps)
        weights[..., 3] += split[:, None]
    start = send(weights, targets.device).repeat(len(targets), 1, 1, 1)
    return ColourMaps(weights=start, clamped=config.clamped)


def _measure(maps: ColourMaps, tests: Sequence[tuple[Tensor, Tensor]]) -> AffineFit:
    """Order the maps and average losses and distances over the test batches."""
    parts = [maps.brightness_changes(colours, targets) for colours, targets in tests]
    sums, counts = (torch.stack(values).sum(0) for values in zip(*parts, strict=True))
    changes = sums / counts.clamp(min=1)  # 0 for a map that no pixel takes
    maps = maps.ordered(changes.argsort(dim=1, descending=True, stable=True))
    found = []
    for colours, targets in tests:
        left, number = maps.nearest(colours, targets)
        shares = (number == 0).float().mean(1)
        found.append((left.mean(1), maps.mean_distance(colours), shares))
    return AffineFit(maps, *(torch.stack(values).mean(0) for values in zip(*found, strict=True)))


def _check_pictures(originals: Tensor, shifted: Tensor) -> None:
    if originals.ndim != 4 or shifted.ndim != 5 or shifted.shape[1:] != originals.shape:
        raise ValueError(
            "Expected originals (N, 3, H, W) and shifted pictures (K, N, 3, H, W) of the same N, "
            f"H and W, got {tuple(originals.shape)} and {tuple(shifted.shape)}."
        )
