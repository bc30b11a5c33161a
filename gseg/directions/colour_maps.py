"""Affine maps of colours, several for each of many directions (Voynov et al. 2021, Eqs. 2 to 5).

Everything is batched over K directions with M maps each. A map is a row-major (3, 4) block
[A | b], applied to the colours (r, g, b, 1). The directions share their colours (4, P), or each has
its own (K, 4, P): then K counts pictures, and each picture has its own maps (section 4.6).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gseg.images import LUMINANCE_WEIGHTS
from gseg.transfers import send

# Pixels times directions worked on at once: what fits a core's cache, or a GPU's memory.
_BLOCK_PIXELS: Final = {"cpu": 2**16, "cuda": 2**23}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ColourMaps:
    """K directions with M affine maps each.

    In all methods colours are (4, P) or (K, 4, P), see `homogeneous`, and targets (K, 3, P) the
    colours after the shift.

    Attributes:
        weights: (K, M, 3, 4) float32, matrix and offset side by side.
        clamped: The maps' outputs are clamped to [-1, 1].
    """

    weights: Tensor
    clamped: bool

    def loss_and_gradient(self, colours: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Measure the restoration loss, Eq. (3), as a mean over pixels.

        Returns:
            (K,) losses and their (K, M, 3, 4) gradients.
        """
        losses = torch.empty(len(self.weights), device=self.weights.device)
        gradient = torch.empty_like(self.weights)
        for part, own, mapped in self._blocks(colours):
            losses[part], gradient[part] = self._pull(mapped, own, targets[part])
        return losses, gradient

    def _pull(self, mapped: Tensor, colours: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Differentiate the mean of min_m |A_m x + b_m - t|; overwrites the mapped colours."""
        # By hand: with 12 numbers for each map, automatic differentiation would cost several times
        # the arithmetic. A pixel pulls only at its nearest map, along its residual divided by the
        # residual's length, and not at all in channels that are clamped.
        count, maps, _, pixels = mapped.shape
        free = mapped.abs() < 1 if self.clamped else None
        residual = mapped.sub_(targets[:, None])
        squares, number = residual.square().sum(2).min(1)
        distance = squares.sqrt_()
        scale = distance.clamp(min=torch.finfo(distance.dtype).tiny).reciprocal_()
        gradient = mapped.new_empty(count, maps, 3, 4)
        for m in range(maps):
            pull = residual[:, m].mul_((scale * (number == m))[:, None])
            if free is not None:
                pull *= free[:, m]
            rows = pull.reshape(-1, pixels) if colours.ndim == 2 else pull
            gradient[:, m] = (rows @ colours.mT).view(count, 3, 4)
        return distance.mean(1), gradient / pixels

    def nearest(self, colours: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Find the map that brings each pixel closest to its target, Eqs. (2) and (5).

        Returns:
            (K, P) Euclidean distances left, and (K, P) int64 numbers of the maps.
        """
        found = [
            mapped.sub_(targets[part][:, None]).square_().sum(2).min(1)
            for part, _, mapped in self._blocks(colours)
        ]
        squares, numbers = (torch.cat(parts) for parts in zip(*found, strict=True))
        return squares.sqrt_(), numbers

    def margins(self, colours: Tensor, targets: Tensor) -> Tensor:
        """Measure how much closer the first of two maps comes to each pixel's target.

        Returns:
            (K, P), positive where Eq. (5) takes the first map.

        Raises:
            ValueError: There are not two maps.
        """
        if self.weights.shape[1] != 2:
            raise ValueError(f"Margins need two maps, got {self.weights.shape[1]}.")
        left = [
            mapped.sub_(targets[part][:, None]).norm(dim=2)
            for part, _, mapped in self._blocks(colours)
        ]
        return torch.cat([each[:, 1] - each[:, 0] for each in left])

    def mean_distance(self, colours: Tensor) -> Tensor:
        """Measure D of section 3.2, how far the first two maps part the colours.

        Returns:
            (K,) mean Euclidean distances; zeros for a single map.
        """
        if self.weights.shape[1] < 2:
            return self.weights.new_zeros(len(self.weights))
        blocks = (mapped for _, _, mapped in self._blocks(colours))
        return torch.cat([(each[:, 0] - each[:, 1]).norm(dim=1).mean(1) for each in blocks])

    def brightness_changes(self, colours: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Add up how much lighter the pixels get that take each map.

        Returns:
            (K, M) sums of changes of luminance, and (K, M) numbers of pixels.
        """
        weights = send(torch.tensor(LUMINANCE_WEIGHTS), targets.device)
        before = torch.einsum("c,...cp->...p", weights, colours[..., :3, :])
        change = torch.einsum("c,kcp->kp", weights, targets) - before
        _, number = self.nearest(colours, targets)
        nothing = change.new_zeros(self.weights.shape[:2])
        counts = nothing.scatter_add(1, number, torch.ones_like(change))
        return nothing.scatter_add(1, number, change), counts

    def ordered(self, order: Tensor) -> "ColourMaps":
        """Put each direction's maps into another order, given as (K, M) numbers."""
        ordered = self.weights.gather(1, order[:, :, None, None].expand_as(self.weights))
        return ColourMaps(weights=ordered, clamped=self.clamped)

    def _blocks(self, colours: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Give some directions at a time: which, their colours, and those mapped (k, M, 3, P)."""
        room = _BLOCK_PIXELS.get(self.weights.device.type, _BLOCK_PIXELS["cpu"])
        size = max(1, room // colours.shape[-1])
        for first in range(0, len(self.weights), size):
            part = slice(first, first + size)
            weights = self.weights[part]
            own = colours if colours.ndim == 2 else colours[part]
            rows = weights.reshape(-1, 4) if own.ndim == 2 else weights.flatten(1, 2)
            mapped = (rows @ own).view(*weights.shape[:3], -1)
            yield part, own, mapped.clamp_(-1, 1) if self.clamped else mapped


def homogeneous(images: Tensor) -> Tensor:
    """List the colours of pictures (N, 3, H, W) with a 1 below each, batch-major: (4, N·H·W)."""
    colours = images.movedim(1, 0).reshape(3, -1)
    return torch.cat([colours, torch.ones_like(colours[:1])])


def homogeneous_each(images: Tensor) -> Tensor:
    """List the colours of each picture of (N, 3, H, W) by itself, with a 1 below: (N, 4, H·W)."""
    colours = images.flatten(2)
    return torch.cat([colours, torch.ones_like(colours[:, :1])], dim=1)


def pixel_targets(shifted: Tensor) -> Tensor:
    """List the colours of (K, N, 3, H, W) in the order of `homogeneous`: (K, 3, N·H·W)."""
    return shifted.movedim(2, 1).reshape(len(shifted), 3, -1)
