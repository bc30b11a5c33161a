"""Experiments by the name of the table that they reproduce."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from gseg.directions import (
    CHOICE_RULES,
    AffineConfig,
    CandidateConfig,
    CandidateKind,
    ChoiceConfig,
    ChoiceRule,
    DirectionConfig,
    LearntConfig,
    SearchConfig,
    preset,
)
from gseg.experiment import (
    DistanceConfig,
    Experiment,
    LabelledPairs,
    SelectionConfig,
    TrialMaskKind,
)
from gseg.samples import SampleConfig
from gseg.segmenters import FitConfig, fit_preset

DirectionWay = Literal["optimised", ChoiceRule]
DIRECTION_WAYS: Final[tuple[DirectionWay, ...]] = ("optimised", *CHOICE_RULES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Settings that a sweep keeps constant, and its default data sizes.

    Attributes:
        search: Of optimised directions.
        choice: Of chosen directions; samples then take its length of shift.
        learnt: Of learnt candidates, where they are asked for.
        direction: Which of the two: ``optimised``, or the rule of the choice.
        samples: Of samples.
        training: Of segmenters.
        train_preset: Name of those.
        data_sizes: Numbers of samples.
        validation_size: Held-out samples.
        distance: Of generators.
    """

    search: SearchConfig
    choice: ChoiceConfig
    samples: SampleConfig
    training: FitConfig
    train_preset: str
    data_sizes: tuple[int, ...]
    learnt: LearntConfig = field(default_factory=LearntConfig)
    direction: DirectionWay = "optimised"
    validation_size: int = 128
    distance: DistanceConfig | None = None

    def with_candidates(self, kind: CandidateKind) -> "Grid":
        """Give the same grid with other candidates to choose from."""
        learnt = self.learnt if kind == "learnt" else None
        candidates = replace(self.choice.candidates, kind=kind, learnt=learnt)
        return replace(self, choice=replace(self.choice, candidates=candidates))


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
        choice=_EMBEDDED_CHOICE,
        learnt=LearntConfig(steps=1_500, learning_rate=1e-3, shift_scale=3.0),
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
            choice=replace(
                _EMBEDDED_CHOICE,
                candidates=replace(_EMBEDDED_CHOICE.candidates, count=8),
                affine=AffineConfig(steps=50),
                pictures=16,
            ),
            learnt=replace(embedded.learnt, steps=20),
            training=replace(embedded.training, steps=30, decay_at=20),
            train_preset="smoke",
            data_sizes=(100,),
            validation_size=32,
            distance=DistanceConfig(count=500),
        ),
        "paper": Grid(
            search=preset("melas2022_text"),
            choice=ChoiceConfig(),
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
    weights: Sequence[float | None] = axes.contrast_weights or (None,)
    epsilons: Sequence[float | None] = axes.epsilons or (None,)
    found: list[Experiment] = []
    for size, seed, kind in itertools.product(sizes, axes.seeds, axes.mask_kinds):
        for weight, epsilon, name in itertools.product(weights, epsilons, axes.generators):
            found.append(_trial(grid, name, weight, epsilon, size, kind, seed))
    for size, seed in itertools.product(sizes, axes.seeds):
        found.append(_ceiling(grid, size, seed))
    return list(dict.fromkeys(found))


def both_papers(grid: Grid, axes: Axes) -> list[Experiment]:
    """The optimised direction (Melas-Kyriazi et al. 2022) beside the chosen one (Voynov 2021).

    Args:
        grid: Settings; without a rule for the choice, it is the paper's.
        axes: What varies.

    Returns:
        The experiments of `all_gans` with optimised directions, then those with chosen ones.
    """
    rule = "voynov2021" if grid.direction == "optimised" else grid.direction
    found = [
        each for way in ("optimised", rule) for each in all_gans(replace(grid, direction=way), axes)
    ]
    return [replace(each, recipe="both_papers") for each in dict.fromkeys(found)]


def table_13(
    grid: Grid, axes: Axes, labelled: LabelledPairs, nearest: SelectionConfig
) -> list[Experiment]:
    """Table 13 of Melas-Kyriazi et al. 2022: labelled pictures and generated ones together.

    The paper takes 1,000 pictures of CUB, 1,000,000 samples of BigBiGAN, and of these the 50,000
    nearest to the pictures; here the selection keeps a twentieth of the data size too. How often a
    labelled picture is trained on beside a generated one the paper does not say: a
    `LabelledPairs.weight` of None, every pair alike, is the plain reading of "the combination of
    both datasets"; a share of its own is the assumption of whoever sets it. Which direction made
    the masks it does not say either.

    Args:
        grid: Settings; the largest data size counts.
        axes: Generators, mask kinds and seeds; what else varies is left out.
        labelled: The labelled pictures; their choice varies with the seed.
        nearest: What the selected samples are near to, and by which features; its number of
            candidates is the data size's.

    Returns:
        The table's five rows for each generator, mask kind and seed: labelled alone, all samples,
        the nearest samples, labelled and all, labelled and nearest; the first is the same for all
        generators. It is trained without held-out pairs, which would be further labels.

    Raises:
        ValueError: A value is out of range; the message says which.
    """
    size = max(axes.data_sizes or grid.data_sizes)
    near = max(1, size // _NEAREST_PART)
    chosen = replace(nearest, candidates=size)
    found: list[Experiment] = []
    for seed in axes.seeds:
        pictures = replace(labelled, seed=seed)
        found.append(
            Experiment(
                method="true_masks",
                labelled=replace(pictures, weight=None),
                validation_size=0,
                training=replace(grid.training, seed=seed),
                train_preset=grid.train_preset,
                recipe="table_13",
            )
        )
        for kind, name in itertools.product(axes.mask_kinds, axes.generators):
            trial = _trial(grid, name, grid.search.contrast_weight, None, size, kind, seed)
            plain = replace(trial, recipe="table_13")
            selected = replace(plain, data_size=near, selection=chosen)
            found += [plain, selected]
            found += [replace(each, labelled=pictures) for each in (plain, selected)]
    return list(dict.fromkeys(found))


def baselines(recipe: str) -> list[Experiment]:
    """The two methods that learn nothing: Otsu's threshold and a disc in the centre."""
    return [
        Experiment(method="otsu", recipe=recipe),
        Experiment(method="centre_disc", recipe=recipe),
    ]


_RECIPE: Final = "all_gans"
_NEAREST_PART: Final = 20
"""One sample in so many is selected for Table 13: 50,000 of 1,000,000."""
_EMBEDDED_CHOICE: Final = ChoiceConfig(
    candidates=CandidateConfig(kind="random", count=64),
    epsilon=1.0,
    affine=AffineConfig(),
    pictures=32,
)
"""A choice in seconds: the same pictures in every step, the shift that suits small generators."""


def _trial(
    grid: Grid,
    name: str,
    weight: float | None,
    epsilon: float | None,
    size: int,
    kind: TrialMaskKind,
    seed: int,
) -> Experiment:
    search = _direction(grid, weight, seed)
    samples = replace(grid.samples, seed=seed)
    if epsilon is not None:
        search = replace(search, epsilon=epsilon)
    if epsilon is not None or isinstance(search, ChoiceConfig):
        samples = replace(samples, epsilon=search.epsilon)
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


def _direction(grid: Grid, weight: float | None, seed: int) -> DirectionConfig:
    if grid.direction == "optimised":
        search = replace(grid.search, seed=seed)
        return search if weight is None else replace(search, contrast_weight=weight)
    if weight is not None:
        raise ValueError(
            f"λ ({weight}) weighs the losses of an optimised direction, but directions are to be "
            f"chosen ({grid.direction}): leave one of the two out."
        )
    return replace(grid.choice, rule=grid.direction).with_seed(seed)


def _ceiling(grid: Grid, size: int, seed: int) -> Experiment:
    return Experiment(
        method="true_masks",
        data_size=size,
        validation_size=grid.validation_size,
        training=replace(grid.training, seed=seed),
        train_preset=grid.train_preset,
        recipe=_RECIPE,
    )
