"""Look at a block of candidates as the filters see them: which are rejected, and why.

For people: drawing for a training makes far fewer pictures (`gseg.samples.cascade`). The verdicts
are the same, but for pixels on the edge of a decision: pictures made in another batch may differ
in their last bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gseg.directions.colour_maps import ColourMaps
from gseg.exactness import exact
from gseg.generators.contract import Generator
from gseg.images import to_uint8
from gseg.samples.config import SHIFTS, SampleConfig, ShiftVectors
from gseg.samples.filters import REASONS
from gseg.samples.latents import candidates
from gseg.samples.masks import brightness_difference, make_masks, threshold
from gseg.samples.verdicts import judge, mean_changes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Review:
    """A block of N candidates.

    Attributes:
        indices: (N,) int64, their numbers.
        pictures: (N, 3, R, R) uint8, G(z).
        shifted: (N, 3, R, R) uint8 by name of the direction.
        masks: (N, R, R) bool; of accepted candidates as they are kept, of rejected ones as they
            came out before small components were cut away.
        reasons: Why each was rejected, one of `REASONS`; empty for accepted ones.
    """

    indices: Tensor
    pictures: Tensor
    shifted: Mapping[str, Tensor]
    masks: Tensor
    reasons: tuple[str, ...]


@exact()
@torch.inference_mode()
def review(
    generator: Generator,
    direction: ShiftVectors,
    config: SampleConfig,
    block: int,
    *,
    maps: ColourMaps | None = None,
) -> Review:
    """Draw one block of candidates and judge all of them.

    Args:
        generator: Where pictures come from.
        direction: The shift vectors.
        config: How to draw.
        block: Its number.
        maps: The direction's colour maps, for masks that are made by them.

    Returns:
        The candidates, on the CPU.
    """
    indices = np.arange(block * config.batch, (block + 1) * config.batch)
    device = generator.device
    z, y = candidates(generator.card, config.latents, config.seed, indices, device=device)
    code = generator.code(z)
    original = generator(code, y)
    moved = {
        name: generator(code + config.epsilon * getattr(direction, name).to(device), y)
        for name in SHIFTS[config.mask_kind]
    }
    pictures = (original, moved.get("lighter"), moved.get("darker"))
    difference = brightness_difference(
        config.mask_kind, *pictures, rule=config.mask_rule, maps=maps
    )
    raw = threshold(difference, rule=config.mask_rule)
    tested: list[Tensor] = []
    if config.mask_kind == "both" and config.filters.each_direction:
        tested = [
            make_masks(kind, *pictures, rule=config.mask_rule) for kind in ("lighter", "darker")
        ]
    verdicts = judge(
        raw,
        list(moved.values()),
        config.filters,
        directions=tested,
        changes=mean_changes(difference),
    )
    accepted = torch.from_numpy(verdicts.accepted)
    kept = torch.from_numpy(verdicts.masks)
    return Review(
        indices=torch.from_numpy(indices),
        pictures=to_uint8(original).cpu(),
        shifted={name: to_uint8(each).cpu() for name, each in moved.items()},
        masks=torch.where(accepted[:, None, None], kept, raw.cpu()),
        reasons=tuple("" if code == 0 else REASONS[code - 1] for code in verdicts.reasons),
    )
