"""How a segmenting direction was chosen (Voynov et al. 2021, Figure 1)."""

from pathlib import Path
from typing import Final

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gseg.directions.choosing import Choice
from gseg.directions.codes import codes_and_labels
from gseg.directions.config import ChoiceConfig
from gseg.generators.contract import Generator
from gseg.images import to_pixels
from gseg.randomness import derive_seed
from gseg.storage.files import replacing

_STEPS: Final = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""Shifts of a strip, in lengths of the choice's shift."""
_REJECTED: Final = 4
_DPI: Final = 110


def choice_figure(
    path: Path, generator: Generator, vectors: Tensor, choice: Choice, config: ChoiceConfig
) -> None:
    """Draw restoration loss against distance, and strips of shifted pictures beside it.

    The strips show the chosen direction, turned so that the foreground lightens to the right, and
    candidates that were not taken: of largest distance, lowest loss, and in between.

    Args:
        path: PNG file.
        generator: The one that the choice was made for.
        vectors: (K, D), the candidates.
        choice: From `gseg.directions.choosing.choose_direction`.
        config: As given to it.
    """
    rejected = _telling(choice)
    names = [f"chosen: {choice.number}", *(f"candidate {number}" for number in rejected)]
    shown = torch.stack([choice.direction.lighter, *vectors[rejected].cpu()])
    strips = _strips(generator, shown, config)
    with mpl.rc_context({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.6, 1.1 + 0.85 * len(shown)), layout="constrained")
        grid = figure.add_gridspec(len(shown), 2, width_ratios=(1, 1.15))
        _scatter(figure.add_subplot(grid[:, 0]), choice, config, rejected)
        for row, (name, strip) in enumerate(zip(names, strips, strict=True)):
            axes = figure.add_subplot(grid[row, 1])
            axes.imshow(strip.numpy())
            axes.set_axis_off()
            axes.set_title(name, fontsize=7, loc="left", pad=1)
        figure.suptitle(f"{generator.card.name}, rule {config.rule}, ε = {config.epsilon:g}")
        with replacing(path) as part:
            figure.savefig(part, format="png", dpi=_DPI)


def _telling(choice: Choice) -> list[int]:
    """Pick candidates that were not taken, from the largest distance down to the lowest loss."""
    scores = choice.scores.two
    others = [
        number
        for number in scores.distances.argsort(descending=True).tolist()
        if number != choice.number
    ]
    if len(others) <= _REJECTED:
        return others
    lowest = min(others, key=lambda number: float(scores.losses[number]))
    rest = [number for number in others if number != lowest]
    middle = [rest[(k * len(rest)) // (_REJECTED - 1)] for k in range(_REJECTED - 1)]
    return [*middle, lowest]


def _scatter(axes: Axes, choice: Choice, config: ChoiceConfig, named: list[int]) -> None:
    scores = choice.scores
    losses, distances = scores.two.losses.cpu(), scores.two.distances.cpu()
    kept = scores.eligible(config).cpu()
    taken = torch.zeros_like(kept)
    taken[choice.number] = True
    label = "eligible"
    for mask, colour, name in ((kept & ~taken, "tab:blue", label), (~kept & ~taken, "0.7", "rest")):
        axes.scatter(losses[mask], distances[mask], s=14, color=colour, label=name)
    chosen = (losses[taken], distances[taken])
    axes.scatter(*chosen, s=130, marker="*", color="tab:red", label="chosen", zorder=3)
    for number in (choice.number, *named):
        axes.annotate(
            str(number),
            (float(losses[number]), float(distances[number])),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=7,
        )
    axes.set_xlabel("restoration loss")
    axes.set_ylabel("mean distance D of the two maps")
    axes.legend(frameon=False, fontsize=7)


@torch.no_grad()
def _strips(generator: Generator, vectors: Tensor, config: ChoiceConfig) -> list[Tensor]:
    """Shift two pictures along each vector; give (H, W, 3) uint8, side by side."""
    seed = derive_seed(config.seed, "affine", "latents")
    code, y = codes_and_labels(generator, seed, range(2))
    strips = []
    for vector in vectors.to(code.device):
        tiles = []
        for row in range(len(code)):
            moved = torch.stack([code[row] + k * config.epsilon * vector for k in _STEPS])
            labels = None if y is None else y[row].expand(len(moved))
            tiles += [to_pixels(tile) for tile in generator(moved, labels).clamp(-1, 1).cpu()]
            tiles.append(torch.full_like(tiles[0][:, :, : max(1, tiles[0].shape[2] // 4)], 255))
        strips.append(torch.cat(tiles, dim=2).permute(1, 2, 0))
    return strips
