"""Experiments by the name of the table that they reproduce."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from gseg.directions import SearchConfig, preset
from gseg.experiment import DistanceConfig, Experiment, TrialMaskKind
from gseg.samples import SampleConfig
from gseg.segmenters import FitConfig, fit_preset


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Settings that a sweep keeps constant, and its default data sizes.

    Attributes:
        search: Of directions.
        samples: Of samples.
        training: Of segmenters.
        train_preset: Name of those.
        data_sizes: Numbers of samples.
        validation_size: Held-out samples.
        distance: Of generators.
    """

    search: SearchConfig
    samples: SampleConfig
    training: FitConfig
    train_preset: str
    data_sizes: tuple[int, ...]
    validation_size: int = 128
    distance: DistanceConfig | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """What a sweep varies; an empty axis keeps the grid's value.

    Attributes:
        generators: Catalogue names.
        contrast_weights: λ.
        epsilons: ε, for search and samples alike.
        data_sizes: Numbers of samples.
        mask_kinds: Kinds of masks.
        seeds: Trial seeds.
    """

    generators: tuple[str, ...]
    contrast_weights: tuple[float, ...] = ()
    epsilons: tuple[float, ...] = ()
    data_sizes: tuple[int, ...] = ()
    mask_kinds: tuple[TrialMaskKind, ...] = ("lighter",)
    seeds: tuple[int, ...] = (0,)


def grids() -> dict[str, Grid]:
    """Give the named grids.

    Returns:
        ``embedded``: minutes on a laptop; ``smoke``: seconds, to see whether everything works;
        ``paper``: the published settings (Melas-Kyriazi et al. 2022, section 4 and appendix B).
    """
    embedded = Grid(
        search=preset("gseg"),
        samples=SampleConfig(),
        training=fit_preset("embedded"),
        train_preset="embedded",
        data_sizes=(250, 4_000),
        distance=DistanceConfig(),
    )
    return {
        "embedded": embedded,
        "smoke": replace(
            embedded,
            search=replace(embedded.search, steps=20),
            training=replace(embedded.training, steps=30, decay_at=20),
            train_preset="smoke",
            data_sizes=(100,),
            validation_size=32,
            distance=DistanceConfig(count=500),
        ),
        "paper": Grid(
            search=preset("melas2022_text"),
            samples=SampleConfig(),
            training=fit_preset("paper"),
            train_preset="paper",
            data_sizes=(1_000_000,),
            validation_size=1_000,
        ),
    }


def all_gans(grid: Grid, axes: Axes) -> list[Experiment]:
    """Table 2 and Figure 4 of Melas-Kyriazi et al. 2022: all generators under one setting.

    Args:
        grid: Settings.
        axes: What varies; every combination is one experiment, values given twice count once.

    Returns:
        The experiments, largest data first and generators next to each other varying fastest, so
        that trials that share a stage do not start at the same time. The ceiling, the same
        network trained with true masks, comes with each data size and seed.

    Raises:
        ValueError: A value is out of range; the message says which.
    """
    sizes = sorted(axes.data_sizes or grid.data_sizes, reverse=True)
    weights = axes.contrast_weights or (grid.search.contrast_weight,)
    epsilons: Sequence[float | None] = axes.epsilons or (None,)
    found: list[Experiment] = []
    for size, seed, kind in itertools.product(sizes, axes.seeds, axes.mask_kinds):
        for weight, epsilon, name in itertools.product(weights, epsilons, axes.generators):
            found.append(_trial(grid, name, weight, epsilon, size, kind, seed))
    for size, seed in itertools.product(sizes, axes.seeds):
        found.append(_ceiling(grid, size, seed))
    return list(dict.fromkeys(found))


def baselines(recipe: str) -> list[Experiment]:
    """The two methods that learn nothing: Otsu's threshold and a disc in the centre."""
    return [
        Experiment(method="otsu", recipe=recipe),
        Experiment(method="centre_disc", recipe=recipe),
    ]


_RECIPE: Final = "all_gans"


def _trial(
    grid: Grid,
    name: str,
    weight: float,
    epsilon: float | None,
    size: int,
    kind: TrialMaskKind,
    seed: int,
) -> Experiment:
    search = replace(grid.search, contrast_weight=weight, seed=seed)
    samples = replace(grid.samples, seed=seed)
    if epsilon is not None:
        search, samples = replace(search, epsilon=epsilon), replace(samples, epsilon=epsilon)
    return Experiment(
        generator=name,
        search=search,
        samples=samples,
        mask_kind=kind,
        data_size=size,
        validation_size=grid.validation_size,
        training=replace(grid.training, seed=seed),
        train_preset=grid.train_preset,
        distance=grid.distance,
        recipe=_RECIPE,
    )


def _ceiling(grid: Grid, size: int, seed: int) -> Experiment:
    return Experiment(
        method="true_masks",
        data_size=size,
        validation_size=grid.validation_size,
        training=replace(grid.training, seed=seed),
        train_preset=grid.train_preset,
        recipe=_RECIPE,
    )
