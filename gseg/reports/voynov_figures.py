"""Pictures of Voynov et al. 2021: what the colour maps restore (Figure 2), what filters do (3)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from gseg.directions.codes import codes_and_labels
from gseg.directions.colour_maps import ColourMaps
from gseg.directions.direction import Direction
from gseg.generators.contract import Generator
from gseg.images import contact_sheet, to_uint8
from gseg.randomness import derive_seed
from gseg.samples.components import keep_large_components
from gseg.samples.config import SampleConfig
from gseg.samples.draw import Review, review
from gseg.storage.files import replacing

_KEPT: Final = torch.tensor([230, 60, 50], dtype=torch.uint8)
_REMOVED: Final = torch.tensor([50, 90, 230], dtype=torch.uint8)
"""Colours of Figure 3's right block."""
_SHOWN_REASONS: Final = ("area", "histogram")
_BLOCKS: Final = 40
"""Most blocks of candidates that are looked at; a rule may reject next to nothing."""


@torch.no_grad()
def restored(maps: ColourMaps, originals: Tensor, shifted: Tensor) -> tuple[Tensor, Tensor]:
    """Apply to each pixel the map that brings it closest to the shifted one, Eqs. (2) and (5).

    Args:
        maps: Of one direction.
        originals: (N, 3, H, W) in [-1, 1].
        shifted: (N, 3, H, W).

    Returns:
        (N, 3, H, W) approximations of the shifted pictures, and (N, H, W) bool: True where the
        lightening map, the first one, is taken.
    """
    weights = maps.weights[0].to(originals.device)
    mapped = torch.einsum("mij,njhw->nmihw", weights[..., :3], originals)
    mapped = mapped + weights[None, :, :, 3, None, None]
    if maps.clamped:
        mapped = mapped.clamp(-1, 1)
    number = (mapped - shifted[:, None]).square().sum(2).argmin(1)
    picked = number[:, None, None].expand(-1, 1, 3, -1, -1)
    return mapped.gather(1, picked)[:, 0], number == 0


@torch.no_grad()
def operators_sheet(
    path: Path, generator: Generator, direction: Direction, epsilon: float, *, count: int, tile: int
) -> None:
    """Draw Figure 2: pictures, shifted, approximated by the two maps, and their masks.

    Args:
        path: PNG file.
        generator: The direction's.
        direction: With colour maps, see `gseg.directions.fit_operators`.
        epsilon: Length of the shift.
        count: Pictures, the columns.
        tile: Side of each in pixels.

    Raises:
        ValueError: The direction has no maps.
    """
    if direction.operators is None:
        raise ValueError("Figure 2 needs a direction with colour maps: fit them first.")
    code, y = codes_and_labels(generator, derive_seed(0, "papers"), range(count))
    shift = epsilon * direction.lighter.to(code.device)
    originals, shifted = (generator(each, y).clamp(-1, 1) for each in (code, code + shift))
    approximated, masks = restored(direction.operators, originals, shifted)
    lines = [to_uint8(each).cpu() for each in (originals, shifted, approximated)]
    sheet = contact_sheet(
        [*(list(line) for line in lines), list(masks.cpu())],
        tile=tile,
        columns=("",) * count,
        labels=("G(z)", "G(z + h)", "two maps", "mask"),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        sheet.save(part, format="PNG")


def filters_sheet(
    path: Path,
    generator: Generator,
    direction: Direction,
    config: SampleConfig,
    *,
    rows: int,
    tile: int,
) -> dict[str, int]:
    """Draw Figure 3: samples that filters reject, and what the components' filter cuts away.

    Args:
        path: PNG file.
        generator: Where pictures come from.
        direction: The shift vectors.
        config: How samples are drawn, with the filters.
        rows: Most examples of each.
        tile: Side of a picture in pixels.

    Returns:
        Examples shown of each filter.

    Raises:
        ValueError: No filter touches any of the first candidates.
    """
    whole = replace(config.filters, component_share=0.0)
    found: dict[str, list[list[Tensor]]] = {name: [] for name in (*_SHOWN_REASONS, "components")}
    for block in range(_BLOCKS):
        if min(len(lines) for lines in found.values()) >= rows:
            break
        seen = review(generator, direction, replace(config, filters=whole), block)
        for name, cells in _examples(seen, config):
            if len(found[name]) < rows:
                found[name].append(cells)
    shown = {name: len(lines) for name, lines in found.items()}
    if not any(shown.values()):
        raise ValueError("These filters touch none of the first candidates: nothing to draw.")
    sheet = contact_sheet(
        [cells for lines in found.values() for cells in lines],
        tile=tile,
        columns=("G(z)", "G(z + h)", "mask"),
        labels=[name for name, lines in found.items() for _ in lines],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        sheet.save(part, format="PNG")
    return shown


def coloured_components(mask: Tensor, config: SampleConfig) -> Tensor | None:
    """Show what is left of a mask in red, and what is cut away in blue.

    Args:
        mask: (H, W) bool, with all components.
        config: Its filters cut.

    Returns:
        (3, H, W) uint8; None if nothing is cut away.
    """
    filters = config.filters
    cleaned = keep_large_components(
        mask[None].numpy(),
        filters.component_share,
        strict=filters.component_strict,
        connectivity=filters.connectivity,
    )
    kept = torch.from_numpy(cleaned.masks[0])
    removed = mask & ~kept
    if not removed.any():
        return None
    shown = torch.zeros(3, *mask.shape, dtype=torch.uint8)
    shown[:, kept] = _KEPT[:, None]
    shown[:, removed] = _REMOVED[:, None]
    return shown


def _examples(seen: Review, config: SampleConfig) -> Iterator[tuple[str, list[Tensor]]]:
    """Give what filters do to a block's candidates: the filter's name, and what to show."""
    shifted = next(iter(seen.shifted.values()))
    for place, reason in enumerate(seen.reasons):
        picture, mask = [seen.pictures[place], shifted[place]], seen.masks[place]
        if reason in _SHOWN_REASONS:
            yield reason, [*picture, mask]
        elif not reason:
            coloured = coloured_components(mask, config)
            if coloured is not None:
                yield "components", [*picture, coloured]
