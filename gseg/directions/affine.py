"""Fit affine colour maps to what a shift does (Voynov et al. 2021, section 3.1).

A segmenting direction h acts on every pixel as one of two maps of its colour, A1 or A2 (Eq. 1).
The maps of many directions are fitted together and share the original pictures. Losses are means
over pixels, not the sums of Eq. (3): section 3.2 ("averaged over all image pixels") and the
official program agree on that. `gseg.directions.ratio` makes a label-free score of them,
`gseg.directions.choosing` the paper's choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gseg.directions.affine_batches import (
    Batches,
    check_pictures,
    generated_batches,
    picture_batches,
)
from gseg.directions.affine_config import AffineConfig, affine_preset
from gseg.directions.colour_maps import (
    ColourMaps,
    homogeneous,
    homogeneous_each,
    pixel_targets,
)
from gseg.exactness import exact
from gseg.randomness import derive_seed, uniforms
from gseg.transfers import send

Progress = Callable[[int, int], None]

__all__ = [
    "AffineConfig",
    "AffineFit",
    "Batches",
    "affine_preset",
    "fit_each",
    "fit_maps",
    "fit_several",
    "generated_batches",
    "picture_batches",
]

_SHARED: Final = ("steps", "batch", "test_batches", "seed")
"""Settings that fits to the same pictures have in common."""


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

    @exact()
    def assign(self, originals: Tensor, shifted: Tensor) -> Tensor:
        """Say which map each pixel takes, Eq. (5).

        Args:
            originals: (N, 3, H, W) in [-1, 1].
            shifted: (K, N, 3, H, W), the same pictures shifted along each direction.

        Returns:
            (K, N, H, W) int64; 0 is the lightening map, so ``== 0`` is the foreground of a
            direction that lightens it.
        """
        check_pictures(originals, shifted)
        _, number = self.maps.nearest(homogeneous(originals), pixel_targets(shifted))
        return number.view(len(shifted), len(originals), *originals.shape[2:])


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
    return fit_several(batches, [config], progress=progress)[0]


@exact()
def fit_several(
    batches: Batches, configs: Sequence[AffineConfig], *, progress: Progress | None = None
) -> list[AffineFit]:
    """Fit several kinds of maps, such as two maps and one, to the same pictures.

    Args:
        batches: See `fit_maps`; each batch is asked for once.
        configs: Settings of each fit; steps, batch, test batches and seed agree.
        progress: See `fit_maps`.

    Returns:
        The fit of each config.

    Raises:
        ValueError: The configs differ in what they share.
    """
    for name in _SHARED:
        values = {getattr(config, name) for config in configs}
        if len(values) != 1:
            raise ValueError(f"Fits to the same pictures share {name}, got {sorted(values)}.")

    def pixels(step: int) -> tuple[Tensor, Tensor]:
        originals, shifted = batches(step)
        return homogeneous(originals), pixel_targets(shifted)

    return _fit(pixels, configs, progress)


@exact()
def fit_each(originals: Tensor, shifted: Tensor, config: AffineConfig) -> AffineFit:
    """Fit maps to each picture by itself (section 4.6), all pictures together.

    Args:
        originals: (N, 3, H, W) in [-1, 1].
        shifted: (N, 3, H, W), the same pictures shifted.
        config: Settings; a step sees all pixels of a picture, so batch and test batches do not
            count.

    Returns:
        The fit, with K = N.

    Raises:
        ValueError: The shapes differ.
    """
    check_pictures(originals, shifted[None])
    whole = homogeneous_each(originals), shifted.flatten(2)
    return _fit(lambda _: whole, [config], None, tests=1)[0]


Pixels = Callable[[int], tuple[Tensor, Tensor]]
"""Step to colours (4, P) or (K, 4, P) and targets (K, 3, P)."""


class _Fit:
    """The state of one fit: K times M maps and Adam's moments."""

    def __init__(self, config: AffineConfig, targets: Tensor) -> None:
        self._config = config
        self.weights = send(_start(config), targets.device).repeat(len(targets), 1, 1, 1)
        self._adam = torch.optim.Adam([self.weights], lr=config.learning_rate)

    @property
    def maps(self) -> ColourMaps:
        return ColourMaps(weights=self.weights, clamped=self._config.clamped)

    def step(self, step: int, colours: Tensor, targets: Tensor) -> None:
        config = self._config
        _, self.weights.grad = self.maps.loss_and_gradient(colours, targets)
        if config.decay:
            self._adam.param_groups[0]["lr"] = config.learning_rate * (1 - step / config.steps)
        self._adam.step()


@torch.no_grad()
def _fit(
    pixels: Pixels,
    configs: Sequence[AffineConfig],
    progress: Progress | None,
    *,
    tests: int | None = None,
) -> list[AffineFit]:
    steps = configs[0].steps
    fits: list[_Fit] = []
    for step in range(steps):
        colours, targets = pixels(step)
        fits = fits or [_Fit(config, targets) for config in configs]
        for fit in fits:
            fit.step(step, colours, targets)
        if progress is not None:
            progress(step + 1, steps)
    fresh = [pixels(steps + k) for k in range(tests or configs[0].test_batches)]
    return [_measure(fit.maps, fresh) for fit in fits]


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


def _measure(maps: ColourMaps, tests: Sequence[tuple[Tensor, Tensor]]) -> AffineFit:
    """Order the maps and average losses and distances over the test batches."""
    parts = [maps.brightness_changes(colours, targets) for colours, targets in tests]
    sums, counts = (torch.stack(values).sum(0) for values in zip(*parts, strict=True))
    changes = sums / counts.clamp(min=1)
    maps = maps.ordered(changes.argsort(dim=1, descending=True, stable=True))
    losses, distances, shares = [], [], []
    for colours, targets in tests:
        left, number = maps.nearest(colours, targets)
        losses.append(left.mean(1))
        distances.append(maps.mean_distance(colours))
        shares.append((number == 0).float().mean(1))
    means = (torch.stack(values).mean(0) for values in (losses, distances, shares))
    return AffineFit(maps, *means)
