"""Experiments of Melas-Kyriazi et al. 2022 with StyleGAN2: Tables 11, 12 and 15 (appendix B).

No embedded generator is a StyleGAN2: the embedded forms put another one through the same steps.
"""

from dataclasses import replace
from typing import Final

from gseg.pipeline.experiment import Experiment
from gseg.recipes.generators import StyleSet, main_generators, resolution, style_generators
from gseg.recipes.grids import Axes, Grid
from gseg.recipes.trials import (
    ASSUMED_MASKS,
    combinations,
    filled,
    table_trials,
    without_distance,
)

STYLEGAN2_EPSILON: Final = 0.2
"""Length of the shift in StyleGAN2's latent space (sections B.1 and B.2)."""
_SHRINK: Final = 2
"""256 px to 128 px in Table 15."""
_SIDE: Final = 256
"""Pixels of the pictures of sections B.1 and B.2."""


def table_11(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 11: StyleGAN2 trained on Flowers, r = 0.2, beside BigBiGAN.

    No StyleGAN2 of Flowers is in the catalogue: name one's own in the paper's grid. The embedded
    form has another embedded generator in its place, and says nothing about StyleGAN2.

    Raises:
        ValueError: The paper's grid is asked for without a generator.
    """
    axes = _with_generators(axes, grid, "flowers")
    own = {"mask_kind": ASSUMED_MASKS}
    bigbigan = {name: values for name, values in axes.items() if name != "epsilon"}
    bigbigan["generator"] = main_generators(grid.name)[:1]
    reference = table_trials("table_11", without_distance(grid), bigbigan, own)
    return [*_style_trials("table_11", grid, axes), *reference]


def table_12(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 12: StyleGAN2 trained on FFHQ, r = 0.2, at 256 px.

    The catalogue's StyleGAN2 of FFHQ makes pictures of 1,024 px; they are shrunk to 256 px.
    """
    axes = _with_generators(axes, grid, "ffhq")
    side = _SIDE if axes["generator"] == style_generators("paper", "ffhq") else None
    found = _style_trials("table_12", grid, axes)
    return [replace(each, train_resolution=side) for each in found]


def table_15(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 15: pictures of StyleGAN2, and the same shrunk to half with their masks.

    Returns:
        The trials at half the side (128 px in the paper, 16 px for embedded generators), then at
        the whole one, of the same samples. No embedded generator makes larger pictures;
        ``analytic.ellipses64`` does, of another domain than the scenes.
    """
    axes = _with_generators(axes, grid, "flowers")
    found = _style_trials("table_15", grid, axes)
    sides = {name: resolution(name) // _SHRINK for name in axes["generator"]}
    shrunk = [replace(each, train_resolution=sides[each.generator]) for each in found]
    return [*shrunk, *found]


def _style_trials(name: str, grid: Grid, axes: Axes) -> list[Experiment]:
    """Make trials of StyleGAN2, whose latent space asks for a shorter shift."""
    own: Axes = {"mask_kind": ASSUMED_MASKS}
    if grid.name == "paper":
        own = {**own, "epsilon": (STYLEGAN2_EPSILON,)}
    return combinations(without_distance(grid), filled(grid, axes, own), name)


def _with_generators(axes: Axes, grid: Grid, data: StyleSet) -> Axes:
    """Name a table's StyleGAN2, unless generators are asked for: the paper's may not be there."""
    return axes if "generator" in axes else {**axes, "generator": style_generators(grid.name, data)}
